"""`pbm privacy`: grants and policy tags, from the classes of columns in the dbt project."""

import typer

from pbm import console
from pbm.errors import CheckFailedError

privacy_app = typer.Typer(no_args_is_help=True)


@privacy_app.callback()
def privacy() -> None:
    """Write PostgreSQL's grants and BigQuery's policy tags from the classes of columns."""


@privacy_app.command()
def write() -> None:
    """Write pbm/grants.sql and infra/privacy/bigquery.json if they are stale."""
    from pbm import dbt_manifest, privacy

    texts = privacy.files(dbt_manifest.read("local"))
    for path in privacy.stale(texts):
        path.write_text(texts[path])
        console.say(f"written: {path.name}")
    console.say("Grants and policy tags are as the project says.")


@privacy_app.command()
def check() -> None:
    """Fail if a column has no class, or a file is not what the project says (exit code 1)."""
    from pbm import dbt_manifest, privacy

    found = privacy.stale(privacy.files(dbt_manifest.read("local")))
    if found:
        raise CheckFailedError(
            f"Not what the project says: {', '.join(path.name for path in found)}.",
            "Run `pbm privacy write`.",
        )
    console.say("Grants and policy tags are as the project says.")
