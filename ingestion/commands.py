"""The commands of ingestion: `pbm generate orders` and `pbm ingest`."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pbm import console
from pbm.errors import UsageError
from pbm.logs import log_to
from pbm.settings import Settings, load_settings
from pbm.stack import Stack

if TYPE_CHECKING:
    from ingestion.sources import PubSubSource

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

generate_app = typer.Typer(no_args_is_help=True, help="Generate synthetic data.")


def register(app: typer.Typer) -> None:
    """Add the commands of ingestion to `pbm`."""
    app.add_typer(generate_app, name="generate")
    app.command()(ingest)


@contextmanager
def _progress(text: str) -> Iterator[Progress]:
    """A spinner on standard error, where a person is watching."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console.err,
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        progress.add_task(text)
        yield progress


def ingest(
    from_: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="pubsub|FILE",
            help="The subscription, or a file with one message a line (backfills, replays).",
        ),
    ],
    *,
    drain: Annotated[
        bool, typer.Option("--drain", help="Stop when the subscription is empty (the default).")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until Ctrl-C, for a live stream.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Messages in one run of the Beam graph, at most.")
    ] = 5000,
    json: JsonOption = False,
) -> None:
    """Land messages in bronze, exactly as received; what is not accepted, in the dead letters.

    A message is acknowledged after its commit, and one that comes again changes nothing: the
    command may be killed and run again at any time.
    """
    if drain and follow:
        raise UsageError("--drain and --follow exclude each other.", "Give one of them.")
    if follow and from_ != "pubsub":
        raise UsageError(
            "--follow goes with --from pubsub: a file has an end.", "Leave --follow out."
        )
    settings = load_settings()
    log_to(settings.home)
    started = time.monotonic()
    with _progress(f"ingesting from {from_}") as progress:
        from ingestion.sources import FileSource, Source

        source: Source
        if from_ == "pubsub":
            source = _pubsub_source(settings, batch_size=batch_size, follow=follow)
        else:
            source = FileSource(Path(from_), batch_size=batch_size)
            Stack(settings).require_postgres_dsn()
        from ingestion import micro_batches

        landed = micro_batches.ingest(
            source,
            lambda so_far: progress.update(
                progress.task_ids[0], description=f"{so_far.read:,} messages read"
            ),
        )
    seconds = time.monotonic() - started
    if json:
        console.print_json(
            {
                "read": landed.read,
                "accepted": landed.accepted,
                "already_there": landed.already_there,
                "dead_letters": dict(sorted(landed.dead_letters.items())),
                "seconds": round(seconds, 3),
            }
        )
        return
    table = Table(title=f"Ingested from {from_} in {seconds:.1f} s", title_justify="left")
    table.add_column("messages")
    table.add_column("count", justify="right")
    table.add_row("read", f"{landed.read:,}")
    table.add_row("accepted into bronze", f"{landed.accepted:,}")
    table.add_row("already there", f"{landed.already_there:,}")
    for reason, count in sorted(landed.dead_letters.items()):
        table.add_row(f"dead letter: {reason}", f"[yellow]{count:,}[/]")
    console.out.print(table)


def _pubsub_source(settings: Settings, *, batch_size: int, follow: bool) -> "PubSubSource":
    from ingestion.leases import Leases
    from ingestion.sources import PubSubSource

    stack = Stack(settings)
    dsn = stack.require_postgres_dsn()
    # Google's client library reads the emulator's address from the environment only
    os.environ["PUBSUB_EMULATOR_HOST"] = stack.require_pubsub_emulator_host()
    stopping = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopping
        if stopping:
            raise KeyboardInterrupt
        stopping = True
        console.say("Finishing the current batch; Ctrl-C again to stop at once.")

    if follow:
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
    return PubSubSource(
        settings.subscription_path,
        batch_size=batch_size,
        follow=follow,
        leases=Leases(dsn),
        stopping=lambda: stopping,
    )
