"""The commands of the dashboards: `pbm dashboard`, `pbm live` and `pbm screenshots`."""

import sys
import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from pbm import console
from pbm.errors import ServiceError
from pbm.processes import LOCALHOST, free_port, port_is_free
from pbm.settings import PROJECT_ROOT, load_settings

PORT = 8501
PortOption = Annotated[int, typer.Option(help="Where to listen; any free port if it is taken.")]


def register(app: typer.Typer) -> None:
    """Add the commands of the dashboards to `pbm`."""
    app.command()(dashboard)
    app.command()(live)
    app.command()(screenshots)


def dashboard(
    *,
    port: PortOption = PORT,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser as well.")
    ] = True,
) -> None:
    """Show the dashboards on the local stack, until Ctrl-C.

    The stack is started if it is not running, and stopped again in that case.
    """
    from dashboards import manifest, twin
    from pbm.running import running_stack

    settings = load_settings()
    port = _free(port)
    with running_stack(settings) as stack:
        manifest.write(settings)
        url = f"http://{LOCALHOST}:{port}"
        console.say(f"[bold]The dashboards are at {url}[/]; Ctrl-C ends them.")
        with twin.programs(stack) as running:
            running.start("dashboard", twin.dashboard_command(port))
            twin.wait_until_it_answers(port, running)
            if browser and sys.stdout.isatty():
                webbrowser.open(url)
            while running.ended() is None:
                time.sleep(0.5)
    raise ServiceError("The dashboards ended by themselves.", "Their last lines are above.")


def live(
    *,
    port: PortOption = PORT,
    orders_per_day: Annotated[
        int, typer.Option(min=1, help="Orders placed in a day, before and after this moment.")
    ] = 400,
    days: Annotated[int, typer.Option(min=0, help="Days of history to begin with.")] = 14,
    build_every: Annotated[
        int, typer.Option(min=10, help="Seconds from the end of a build to the next.")
    ] = 180,
    seed: Annotated[int, typer.Option(help="Seed of the orders.")] = 1,
) -> None:
    """Run the whole twin in one terminal: generator, ingestion, dbt and dashboards.

    The generator runs in real time: what has happened by now is published at once, the rest when
    it happens. Ctrl-C ends all of it, and the stack if this command started it.
    """
    from dashboards import manifest, twin
    from pbm.running import running_stack

    settings = load_settings()
    port = _free(port)
    with running_stack(settings) as stack:
        stack.require_pubsub_emulator_host()
        manifest.write(settings)
        twin.run(
            stack,
            port=port,
            orders_per_day=orders_per_day,
            days=days,
            build_every=build_every,
            seed=seed,
        )


def screenshots(
    *,
    folder: Annotated[Path, typer.Option(help="Where the pictures go.")] = PROJECT_ROOT
    / "docs"
    / "images",
    orders_per_day: Annotated[int, typer.Option(min=1, help="Orders placed in a day.")] = 800,
) -> None:
    """Take pictures of every page, light and dark, and of the lineage, of stacks made for them.

    Needs the extra `test` (Playwright) and Chromium.
    """
    from dashboards import pictures

    pictures.take(folder, orders_per_day)
    pictures.take_lineage(folder / "lineage.png")


def _free(port: int) -> int:
    if port_is_free(port):
        return port
    other = free_port()
    console.say(f"Port {port} is taken: using {other}.")
    return other
