"""Pictures of every page, light and dark, and of dbt's lineage, taken in a real browser."""

import io
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote

from dashboards import manifest, queries, twin
from dashboards.warehouse import PostgresWarehouse, Value
from pbm import console
from pbm.errors import CheckFailedError, ServiceError
from pbm.processes import LOCALHOST, free_port, wait_until
from pbm.running import program, running_stack
from pbm.settings import Settings
from pbm.stack import Stack

if TYPE_CHECKING:
    from PIL.Image import Image
    from playwright.sync_api import Browser, Page, ViewportSize

PAGES: Final[Mapping[str, str]] = {
    "now": "",
    "act": "act",
    "order_journey": "order_journey",
    "flow": "flow",
    "data_health": "data_health",
    "patient_satisfaction": "patient_satisfaction",
}
"""The pages by the names of their pictures, and their paths."""
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
_WIDTH: Final = 1280
_TALLEST: Final = 1900
_LINEAGE: Final["ViewportSize"] = {"width": 1500, "height": 900}
_EDGE: Final = 40
_EXPOSURES: Final = "+exposure:operational_command_center +exposure:patient_satisfaction_dashboard"
_DAYS: Final = 14
_HISTORY: Final = 600
_COLOURS: Final = 128
# so that minutes of live events stand beside those that are built
_LIVE: Final = 150


def chromium() -> str:
    """The browser of this machine.

    Raises:
        ServiceError: None is installed.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found is not None:
            return found
    raise ServiceError(
        "No Chromium is installed, in which the pages are looked at.",
        "Install it; on Debian, as root: apt-get install chromium.",
    )


@contextmanager
def browser() -> Iterator["Browser"]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as playwright:
        # the sandbox needs rights that containers do not give
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


def open_page(page: "Page", url: str) -> None:
    """Open a page of the dashboards and wait until nothing of it is being made any more."""
    page.goto(url)
    page.wait_for_selector("h1")
    page.wait_for_selector(".strip .cell")
    settle(page)


def settle(page: "Page") -> None:
    """Wait until the page shows what it has, charts included."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]');
            const busy = document.querySelector('[data-testid="stSkeleton"], [data-stale="true"]');
            return app && app.dataset.testScriptState !== 'running' && !busy;
        }""",
        timeout=30_000,
    )
    page.wait_for_timeout(700)


def take(folder: Path, orders_per_day: int) -> None:
    """Start a stack with history and a live stream, and take the pictures.

    Args:
        folder: Where they go: ``dashboard-<page>-<light or dark>.png``.
        orders_per_day: How busy the pharmacy is.

    Raises:
        PbmError: Something did not start, or the build failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="pbm-pictures-") as scratch:
        settings = Settings(
            home=Path(scratch) / "home",
            postgres_dsn=None,
            pubsub_emulator_host=None,
            dbt_profiles_dir=None,
            dashboard_dsn=None,
        )
        with running_stack(settings) as stack:
            stack.require_pubsub_emulator_host()
            manifest.write(settings)
            with twin.programs(stack) as running:
                running.start("ingest", twin.ingester_command())
                running.start("generate", twin.generator_command(orders_per_day, _DAYS, seed=11))
                running.start("dashboard", twin.dashboard_command(port))
                console.say("pictures: waiting for the history to come in")
                if not wait_until(lambda: _is_caught_up(stack), seconds=_HISTORY):
                    raise CheckFailedError("The stream did not come in.", "See the lines above.")
                if not twin.build(stack, running):
                    raise CheckFailedError("The build failed.", "Its last lines are above.")
                surveys = [program("pbm"), "generate", "surveys", "--json"]
                subprocess.run(surveys, env=running.env, check=True, stdout=subprocess.DEVNULL)
                if not twin.build(stack, running, "--select", "tag:survey"):
                    raise CheckFailedError("The build failed.", "Its last lines are above.")
                time.sleep(_LIVE)
                with browser() as opened:
                    for scheme in SCHEMES:
                        for name, path in PAGES.items():
                            url = f"http://{LOCALHOST}:{port}/{path}"
                            if name == "order_journey":
                                url += f"?order_id={_an_order(stack)}"
                            picture = folder / f"dashboard-{name}-{scheme}.png"
                            _picture(opened, url, scheme, picture)


def take_lineage(path: Path) -> None:
    """Build the dbt docs site, and take a picture of its graph of models, seeds and sources.

    Args:
        path: Where the picture goes.

    Raises:
        PbmError: The site could not be built.
    """
    from pbm.docs_site import build_site

    with tempfile.TemporaryDirectory(prefix="pbm-pictures-") as scratch:
        site = Path(scratch) / "index.html"
        build_site(site)
        with browser() as opened:
            page = opened.new_page(viewport=_LINEAGE, device_scale_factor=2)
            # all that the dashboards are made from: tests would be drawn as well
            page.goto(f"{site.as_uri()}#!/overview?g_v=1&g_i={quote(_EXPOSURES)}")
            graph = page.locator("canvas").last
            graph.wait_for(state="visible")
            page.wait_for_timeout(3_000)  # until every node has taken its place
            _keep(path, _framed(_image(graph.screenshot())))


def _is_caught_up(stack: Stack) -> bool:
    rows = PostgresWarehouse(stack.require_postgres_dsn()).rows(
        queries.Query(
            "How much has come in",
            "select count(*) as messages,"
            " coalesce(max(ingested_at) < current_timestamp - interval '4 seconds', false) as quiet"
            " from pbm_bronze.raw_orders",
        ),
        {},
    )
    return bool(rows[0]["messages"] and rows[0]["quiet"])


def _an_order(stack: Stack) -> str:
    """The most urgent alert that is on its way: its journey has something to show."""
    every: dict[str, Value] = {
        "severities": "",
        "stages": ",shipped_to_delivered,",
        "priorities": "",
        "most": 1,
    }
    rows = PostgresWarehouse(stack.dashboard_dsn()).rows(queries.ALERTS, every)
    return str(rows[0]["order_id"]) if rows else ""


def _picture(opened: "Browser", url: str, scheme: Any, path: Path) -> None:  # noqa: ANN401
    context = opened.new_context(
        viewport={"width": _WIDTH, "height": 900}, color_scheme=scheme, timezone_id="UTC"
    )
    page = context.new_page()
    open_page(page, url)
    height = page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
    page.set_viewport_size({"width": _WIDTH, "height": min(int(height), _TALLEST)})
    settle(page)
    _keep(path, _image(page.screenshot()))
    context.close()


def _image(png: bytes) -> "Image":
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB")


def _framed(image: "Image") -> "Image":
    """What is drawn on the plain ground of a picture, with an edge of that ground around it."""
    from PIL import Image, ImageChops, ImageOps

    # its edge is not plain
    plain = ImageOps.crop(image, _EDGE)
    colour = plain.getpixel((0, 0))
    assert isinstance(colour, tuple)
    ground = Image.new("RGB", plain.size, colour)
    drawn = plain.crop(ImageChops.difference(plain, ground).getbbox())
    return ImageOps.expand(drawn, _EDGE, fill=colour)


def _keep(path: Path, image: "Image") -> None:
    """Write a picture with as many colours as it needs: a third of the size."""
    from PIL.Image import Dither

    image.quantize(_COLOURS, dither=Dither.NONE).save(path, "PNG", optimize=True)
    console.say(f"pictures: {path.name}, {path.stat().st_size // 1024} KiB")
