"""The commands `pbm erase` and `pbm pseudonyms`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pbm import console
from pbm.errors import CheckFailedError, ConfigurationError, UsageError
from pbm.logs import log_to
from pbm.settings import Settings, load_settings
from pbm.stack import Stack

if TYPE_CHECKING:
    from ingestion.bigquery_erasure import BigQueryEraser
    from ingestion.bigquery_pseudonyms import BigQueryPseudonymKeys
    from ingestion.erasure import Eraser
    from ingestion.events import Pseudonymiser
    from ingestion.pseudonym_keys import PseudonymKeys

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

pseudonyms_app = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `pbm`."""
    app.command()(erase)
    app.add_typer(pseudonyms_app, name="pseudonyms")


def erase(
    *,
    patient: Annotated[
        str,
        typer.Option(
            metavar="-",
            help="Where the patient id comes from: - is standard input, the default asks for it. "
            "The id itself is never given here: shells and process lists keep it.",
        ),
    ] = "ask",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be erased.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    json: JsonOption = False,
) -> None:
    """Erase a patient from bronze, dead letters, silver, gold and surveys, and prove it.

    Messages that come in later, or again, for the patient or the erased orders are not kept. It
    may run while events come in and dbt builds, and be run again at any time; it waits for what
    was open. Backups, files that were ingested, and what Pub/Sub retains are not in its reach:
    docs/privacy.md says when those are gone.

    With PBM_DBT_TARGET=prod it erases from BigQuery and Cloud SQL, with the keys in
    PBM_PSEUDONYM_KEY and PBM_SUPPRESSION_KEY.
    """
    patient_id = _patient_id(patient)
    settings = load_settings()
    log_to(settings.home)
    stack = Stack(settings)
    eraser = _eraser(settings, stack)
    try:
        if dry_run or not yes:
            counts = {table: rows for table, rows in eraser.count(patient_id).items() if rows}
            if dry_run:
                _report(counts, "Would be erased", json=json)
                return
            total = sum(counts.values())
            _confirm(f"Erase {total:,} rows in {len(counts)} tables for good?")
        erased = eraser.erase(patient_id)
    finally:
        eraser.close()
    counts = {table: rows for table, rows in sorted(erased.rows_by_table.items()) if rows}
    if json:
        console.print_json(
            {
                "erasure_id": str(erased.erasure_id),
                "orders": erased.orders,
                "rows_by_table": counts,
                "passes": erased.passes,
                "texts_searched_and_not_found": erased.searched,
                "needs_full_refresh": erased.shared,
            }
        )
        return
    _report(counts, "Erased", json=False)
    console.say(f"Proof: {erased.erasure_id} in pbm_ops.erasures.")
    console.say(
        f"{erased.searched} texts that named the patient were searched for in every table; "
        "none was found. The daily marts follow with the next build."
    )
    if erased.shared:
        console.say("An order also names another patient: run pbm build --full-refresh.")


def _eraser(settings: Settings, stack: Stack) -> "Eraser | BigQueryEraser":
    from ingestion.erasure import Eraser
    from ingestion.suppression import load_hasher

    if not settings.on_google_cloud:
        return Eraser(stack.require_postgres_dsn(), _all_keys(stack), load_hasher())
    from ingestion.bigquery_client import BigQuery
    from ingestion.bigquery_erasure import BigQueryEraser

    _require(settings, "pseudonym_key", "suppression_key", "postgres_dsn")
    return BigQueryEraser(
        BigQuery.of(settings),
        stack.require_postgres_dsn(),
        _all_keys(stack),
        load_hasher(),
        progress=console.say,
    )


def _pseudonym_keys(settings: Settings, stack: Stack) -> "PseudonymKeys | BigQueryPseudonymKeys":
    from ingestion.pseudonym_keys import PseudonymKeys

    if not settings.on_google_cloud:
        return PseudonymKeys(stack.require_postgres_dsn())
    from ingestion.bigquery_client import BigQuery
    from ingestion.bigquery_pseudonyms import BigQueryPseudonymKeys

    _require(settings, "pseudonym_key")
    return BigQueryPseudonymKeys(BigQuery.of(settings))


def _require(settings: Settings, *names: str) -> None:
    """On Google Cloud a key is given, and never made up on this machine."""
    missing = [f"PBM_{name.upper()}" for name in names if getattr(settings, name) is None]
    if missing:
        raise ConfigurationError(
            f"With PBM_DBT_TARGET=prod this needs {', '.join(missing)}.",
            "Set them from Secret Manager and Cloud SQL, as docs/privacy.md shows.",
        )


def _patient_id(source: str) -> str:
    if source == "ask":
        if not sys.stdin.isatty():
            raise UsageError(
                "The patient id is missing.", "Pipe it in: `pbm erase --patient - < FILE`."
            )
        text = typer.prompt("Patient id", hide_input=True)
    elif source == "-":
        text = sys.stdin.readline()
    else:
        raise UsageError(
            "--patient takes - only: what stands on a command line is kept by shells.",
            "Leave it out to be asked, or pipe the id in: `pbm erase --patient - < FILE`.",
        )
    if not text.strip():
        raise UsageError("The patient id is empty.", "Give the id that the sources send.")
    return str(text)


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("Nobody can be asked whether this is meant.", "Give --yes.")
    if not typer.confirm(question):
        raise typer.Exit(1)


def _report(counts: dict[str, int], title: str, *, json: bool) -> None:
    if json:
        console.print_json({"rows_by_table": counts})
        return
    table = Table(title=title, title_justify="left")
    table.add_column("table")
    table.add_column("rows", justify="right")
    for name, rows in sorted(counts.items()):
        table.add_row(name, f"{rows:,}")
    console.out.print(table)


def _all_keys(stack: Stack) -> "list[Pseudonymiser]":
    from ingestion.events import Pseudonymiser

    keys = stack.kept_pseudonym_keys()
    return [Pseudonymiser(key, version) for version, key in sorted(keys.items())]


# ---------------------------------------------------------------------------------------------
# pbm pseudonyms
# ---------------------------------------------------------------------------------------------


@pseudonyms_app.callback()
def pseudonyms() -> None:
    """Change the key of the patient pseudonyms."""


@pseudonyms_app.command()
def status(*, json: JsonOption = False) -> None:
    """Show which key versions bronze, silver and gold hold."""
    settings = load_settings()
    stack = Stack(settings)
    with _pseudonym_keys(settings, stack) as keys:
        found = keys.versions()
    current = stack.pseudonym_key_version()
    if json:
        console.print_json(
            {
                "current": current,
                "bronze": found.bronze,
                "with_older_pseudonyms": found.strangers,
                "states": found.states,
            }
        )
        return
    console.out.print(f"Key in force: version {current}")
    for version, rows in found.bronze.items():
        console.out.print(f"bronze: {rows:,} rows under version {version}")
    for table, rows in found.strangers.items():
        console.out.print(f"{table}: {rows:,} rows with a pseudonym that bronze has no more")


@pseudonyms_app.command()
def rotate(*, json: JsonOption = False) -> None:
    """Begin a new key version, and give every row of bronze its pseudonym under it.

    A key that the stack generated gets a successor. Where PBM_PSEUDONYM_KEY is set, set it to the
    new key and PBM_PSEUDONYM_KEY_VERSION to the next number first, for ingestion too.

    Both versions work until gold is rebuilt: `pbm build --full-refresh`, then
    `pbm pseudonyms retire`. May be run again at any time: it goes on where it was ended.
    """
    from ingestion.events import Pseudonymiser

    settings = load_settings()
    log_to(settings.home)
    stack = Stack(settings)
    with _pseudonym_keys(settings, stack) as keys:
        before = keys.versions()
        if settings.pseudonym_key is None:
            # one that was begun and not finished is finished
            unfinished = any(version < stack.pseudonym_key_version() for version in before.bronze)
            version = stack.pseudonym_key_version() if unfinished else stack.add_pseudonym_key()
        else:
            version = settings.pseudonym_key_version
            if version <= max([0, *before.bronze]) and not _is_unfinished(before.bronze, version):
                raise ConfigurationError(
                    f"Bronze holds pseudonyms of key version {max(before.bronze)}, and the key in "
                    f"PBM_PSEUDONYM_KEY is version {version}.",
                    "Set PBM_PSEUDONYM_KEY to the new key and PBM_PSEUDONYM_KEY_VERSION to its "
                    "number, one more than the last.",
                )
        keys.begin(version)
        changed = keys.rekey(Pseudonymiser(stack.pseudonym_key(), version))
        after = keys.versions()
    if json:
        console.print_json({"version": version, "rows": changed, "bronze": after.bronze})
        return
    console.say(f"{changed:,} rows of bronze have pseudonyms of version {version} now.")
    console.say("Next: pbm build --full-refresh, then pbm pseudonyms retire.")


def _is_unfinished(bronze: dict[int, int], version: int) -> bool:
    return version == max(bronze) and len(bronze) > 1


@pseudonyms_app.command()
def rekey() -> None:
    """Give the rows of bronze that have an older pseudonym one under the key in force.

    For what an ingester landed under the old key after `rotate` had gone through.
    """
    from ingestion.events import Pseudonymiser

    settings = load_settings()
    stack = Stack(settings)
    version = stack.pseudonym_key_version()
    with _pseudonym_keys(settings, stack) as keys:
        changed = keys.rekey(Pseudonymiser(stack.pseudonym_key(), version))
    console.say(f"{changed:,} rows of bronze have pseudonyms of version {version} now.")


@pseudonyms_app.command()
def retire() -> None:
    """Forget the older keys, once nothing holds a pseudonym of theirs (exit code 1 if it does)."""
    settings = load_settings()
    stack = Stack(settings)
    version = stack.pseudonym_key_version()
    with _pseudonym_keys(settings, stack) as keys:
        found = keys.versions()
        older = sum(rows for one, rows in found.bronze.items() if one != version)
        if older:
            raise CheckFailedError(
                f"{older:,} rows of bronze have pseudonyms of another key version.",
                "Run `pbm pseudonyms rekey`, once every ingester uses the new key.",
            )
        if found.strangers:
            places = ", ".join(f"{table} ({rows:,})" for table, rows in found.strangers.items())
            raise CheckFailedError(
                f"Rows have pseudonyms that bronze has no more: {places}.",
                "Run `pbm build --full-refresh`.",
            )
        keys.retire(version)
    stack.forget_pseudonym_keys(version)
    console.say(f"Only key version {version} is left.")
