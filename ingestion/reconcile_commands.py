"""The command `pbm reconcile`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ingestion import manifests, reconcile
from ingestion.manifests import Manifest
from ingestion.reconcile import Reconciliation
from pbm import console
from pbm.errors import CheckFailedError
from pbm.logs import log_to
from pbm.settings import load_settings
from pbm.stack import Stack


def register(app: typer.Typer) -> None:
    """Add the command to `pbm`."""
    app.command("reconcile")(run)


def run(
    *,
    manifest: Annotated[
        list[Path] | None,
        typer.Option(
            help="A manifest to compare with; may be repeated. If not given, those in "
            "PBM_HOME/manifests/ of orders sent to this topic or to a file that was ingested."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Compare what was published, counted, landed, refused, shown live and modelled.

    Each row of the table is two numbers that must be equal. A difference is named in words, and
    gives exit code 1. All numbers are of one moment, so ingestion may run meanwhile; messages that
    are still in the topic are a difference until they are ingested, and events that silver has not
    built yet are not.
    """
    settings = load_settings()
    log_to(settings.home)
    # in this order: what is sent meanwhile may be in the warehouse before it is in a manifest
    named = [manifests.read(path) for path in manifest or ()]
    kept = [] if named else manifests.read_folder(settings.home / "manifests")
    facts = reconcile.read_facts(Stack(settings).require_postgres_dsn())
    used = named or reconcile.relevant(kept, settings.topic_path, facts.sources)
    result = reconcile.reconcile(used, facts)
    if kept and len(kept) > len(used):
        result.notes.append(
            f"{len(kept) - len(used):,} manifests are of another topic, or of a file that was not "
            "ingested here."
        )
    if json:
        console.print_json(_as_dict(result, used))
    else:
        _print(result)
    differences = result.differences
    if differences:
        named_first = f"{differences[0].name}: {differences[0].difference}"
        others = f" {len(differences) - 1:,} more differ too." if len(differences) > 1 else ""
        raise CheckFailedError(
            f"{len(differences):,} of {len(result.checks):,} comparisons differ. "
            f"{named_first[0].upper()}{named_first[1:]}{others}",
            "Ingest what is still in the topic, and compare again; the table names the rest.",
        )


def _as_dict(result: Reconciliation, used: list[Manifest]) -> dict[str, object]:
    return {
        "ok": not result.differences,
        "checks": [{**asdict(check), "ok": check.difference is None} for check in result.checks],
        "counts": result.counts,
        "notes": result.notes,
        "manifests": [str(manifest.path) for manifest in used],
    }


def _print(result: Reconciliation) -> None:
    table = Table(title="What there is", title_justify="left")
    table.add_column("where")
    table.add_column("what")
    table.add_column("count", justify="right")
    for place, counts in result.counts.items():
        for number, (name, count) in enumerate(counts.items()):
            table.add_row(place if number == 0 else "", escape(name), f"{count:,}")
    console.out.print(table)
    table = Table(title="What must agree", title_justify="left")
    table.add_column("what")
    table.add_column("one side")
    table.add_column("", justify="right")
    table.add_column("other side")
    table.add_column("", justify="right")
    table.add_column("")
    for check in result.checks:
        table.add_row(
            check.name,
            check.left,
            f"{check.left_value:,}",
            check.right,
            f"{check.right_value:,}",
            "[green]ok[/]" if check.difference is None else "[red]difference[/]",
        )
    console.out.print(table)
    for check in result.differences:
        console.out.print(f"[red]difference[/] {check.name}: {check.difference}", soft_wrap=True)
    for note in result.notes:
        console.out.print(f"[dim]note[/] {escape(note)}", soft_wrap=True)
