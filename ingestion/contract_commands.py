"""`pbm contract`: the contract in every form in which others read it."""

from typing import Annotated

import typer

from pbm import console
from pbm.errors import CheckFailedError
from pbm.settings import PROJECT_ROOT

contract_app = typer.Typer(no_args_is_help=True)


@contract_app.callback()
def contract() -> None:
    """Write JSON Schema, topic schema, bronze DDL and dbt sources from the event contract."""


@contract_app.command()
def write(
    *,
    breaking: Annotated[
        bool, typer.Option("--breaking", help="A change that breaks readers is meant.")
    ] = False,
) -> None:
    """Write what is stale. A change that would break a reader is refused."""
    from ingestion import contract as forms

    written = forms.write(breaking=breaking)
    for path in written:
        console.say(f"written: {path.relative_to(PROJECT_ROOT)}")
    if not written:
        console.say("Everything is as the contract says.")


@contract_app.command()
def check() -> None:
    """Fail if a file is not what the contract says now (exit code 1)."""
    from ingestion import contract as forms

    stale = [str(path.relative_to(PROJECT_ROOT)) for path in forms.stale_files()]
    if stale:
        raise CheckFailedError(
            f"Not what the contract says: {', '.join(stale)}.", "Run `pbm contract write`."
        )
    console.say("Everything is as the contract says.")
