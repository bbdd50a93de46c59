"""The commands of orchestration: `pbm airflow standalone` and `pbm airflow bundle`."""

from pathlib import Path
from typing import Annotated

import typer

from pbm import console
from pbm.settings import PROJECT_ROOT, load_settings

app = typer.Typer(no_args_is_help=True)


def register(main: typer.Typer) -> None:
    """Add the commands of orchestration to `pbm`."""
    main.add_typer(app, name="airflow")


@app.callback()
def airflow() -> None:
    """Airflow, which runs the platform every day."""


@app.command()
def standalone(
    *,
    port: Annotated[int, typer.Option(min=0, help="Port of Airflow's pages; a free one if 0.")] = 0,
) -> None:
    """Run all of Airflow on the stack until Ctrl-C, and print where it is and how to log in.

    Starts the stack if it is not running, and stops it again in that case.
    """
    from orchestration.standalone import run

    raise typer.Exit(run(load_settings(), port))


@app.command()
def bundle(
    *,
    target: Annotated[str, typer.Option(help="dbt's target: prod, or local.")] = "prod",
    folder: Annotated[Path, typer.Option(help="Where the bundle goes.")] = PROJECT_ROOT
    / "target"
    / "composer",
) -> None:
    """Build what a managed Airflow is given: DAGs, packages, dbt project and manifest, in one file.

    The file is unpacked into the environment's DAGs folder. DAGs of it refuse to load if the dbt
    project beside them is not the one that its manifest was made of.
    """
    from orchestration.bundle import build

    built = build(folder, target)
    console.say(f"The bundle is {built}")
