"""The dbt docs site, built on a stack of its own: the developer's warehouse is left alone."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from pbm import console
from pbm.errors import CheckFailedError
from pbm.running import dbt_command, program, running_stack
from pbm.settings import PROJECT_ROOT, Settings

ORDERS = 200


def build_site(page: Path) -> None:
    """Fill a throwaway warehouse with a few orders, and describe it in one HTML file.

    Args:
        page: Where the site goes.

    Raises:
        CheckFailedError: A step failed; its output is on the terminal.
    """
    with tempfile.TemporaryDirectory(prefix="pbm-docs-") as folder:
        home = Path(folder) / "home"
        settings = Settings(
            home=home, postgres_dsn=None, pubsub_emulator_host=None, dbt_profiles_dir=None
        )
        with running_stack(settings) as stack:
            environment = {
                **os.environ,
                **stack.environment(),
                "DBT_TARGET_PATH": str(home / "target"),
                "DBT_LOG_PATH": str(home / "logs"),
            }
            file = str(home / "orders.jsonl")
            pbm = program("pbm")
            generate = [pbm, "generate", "orders", "--orders", str(ORDERS), "--to", file, "--json"]
            _run("generating orders", generate, environment)
            _run("ingesting them", [pbm, "ingest", "--from", file, "--json"], environment)
            build, _ = dbt_command(
                stack, ["build", "--quiet", "--exclude-resource-type", "unit_test"]
            )
            _run("building the warehouse", build, environment)
            docs, _ = dbt_command(stack, ["docs", "generate", "--static", "--quiet"])
            _run("describing it", docs, environment)
            catalog = json.loads((home / "target" / "catalog.json").read_text())
            html = (home / "target" / "static_index.html").read_text()
    page.parent.mkdir(parents=True, exist_ok=True)
    # what was built here says nothing of where
    page.write_text(html.replace(str(PROJECT_ROOT), ".").replace(folder, "."))
    console.say(f"The docs of {len(catalog['nodes'])} tables and views are in {page}")


def _run(what: str, command: list[str], environment: dict[str, str]) -> None:
    console.say(f"docs: {what}")
    done = subprocess.run(
        command,
        env=environment,
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        console.err.print(done.stdout[-4000:], markup=False)
        raise CheckFailedError(f"Building the docs failed while {what}.", "See its output above.")
