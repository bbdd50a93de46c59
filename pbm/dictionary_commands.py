"""`pbm dictionary`: the data dictionary in docs/, from the dbt project."""

import typer

from pbm import console
from pbm.errors import CheckFailedError

dictionary_app = typer.Typer(no_args_is_help=True)


@dictionary_app.callback()
def dictionary() -> None:
    """Write docs/data-dictionary.md from the dbt project, without a warehouse."""


@dictionary_app.command()
def write() -> None:
    """Write the dictionary if it is stale."""
    from pbm import data_dictionary

    text = _current()
    if data_dictionary.stale(text):
        data_dictionary.PATH.write_text(text)
        console.say(f"written: {data_dictionary.PATH.name}")
    else:
        console.say("The dictionary is as the project says.")


@dictionary_app.command()
def check() -> None:
    """Fail if the dictionary is not what the project says now (exit code 1)."""
    from pbm import data_dictionary

    if data_dictionary.stale(_current()):
        raise CheckFailedError(
            f"{data_dictionary.PATH.name} is not what the project says.",
            "Run `pbm dictionary write`.",
        )
    console.say("The dictionary is as the project says.")


def _current() -> str:
    from pbm import data_dictionary, dbt_manifest

    return data_dictionary.render(dbt_manifest.read("local"), dbt_manifest.read("prod"))
