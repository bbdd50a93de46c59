"""The commands of ingestion: `pbm generate orders` and `pbm ingest`."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pbm import console
from pbm.errors import InputError, UsageError
from pbm.logs import log_to
from pbm.settings import Settings, load_settings
from pbm.stack import Stack

if TYPE_CHECKING:
    from ingestion.generate_pbm_orders import SimulatedMessage
    from ingestion.runs import IngestRun
    from ingestion.sources import PubSubSource

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

generate_app = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of ingestion to `pbm`."""
    app.add_typer(generate_app, name="generate")
    app.command()(ingest)


@contextmanager
def _progress(text: str) -> Iterator[Callable[[str], None]]:
    """A spinner on standard error, where a person is watching; yields how to change its text."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console.err,
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task(text)
        yield lambda changed: progress.update(task, description=changed)


class Incident(StrEnum):
    """What may happen to the pharmacy; see ``ingestion/simulator/incidents.py``."""

    PAYER_OUTAGE = "payer_outage"
    WINTER_STORM = "winter_storm"
    LOST_SCANS = "lost_scans"
    COLD_CHAIN_FAILURE = "cold_chain_failure"
    STUCK_AT_DISPENSING = "stuck_at_dispensing"


@generate_app.callback()
def generate() -> None:
    """Generate synthetic data: no real patient, prescriber or order is in it."""


@generate_app.command("orders")
def generate_orders(  # noqa: PLR0913  one option each
    *,
    orders: Annotated[int, typer.Option(help="How many orders are placed in the window.")],
    to: Annotated[
        str, typer.Option(metavar="pubsub|FILE|-", help="The topic, a file, or standard output.")
    ],
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    start: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="First day of the window.")
    ] = datetime(2026, 1, 5),  # noqa: DTZ001  a day, and a Monday
    days: Annotated[
        int, typer.Option(help="Days of the window; orders that go on after it stay open.")
    ] = 30,
    duplicates: Annotated[float, typer.Option(help="Share of events that are sent again.")] = 0,
    late: Annotated[float, typer.Option(help="Share of events that come hours or days late.")] = 0,
    malformed: Annotated[
        float, typer.Option(help="Extra messages that ingestion must refuse, as a share.")
    ] = 0,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Send everything in random order.")
    ] = False,
    incident: Annotated[
        Incident | None,
        typer.Option(help="Let something go wrong; the manifest tells which orders it hit."),
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0, help="Messages a second; 0 is as fast as it goes.")
    ] = 0,
    manifest: Annotated[
        Path | None,
        typer.Option(help="Where to write the manifest; PBM_HOME/manifests/ if not given."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Generate the events of synthetic orders, as the pharmacy's systems would send them.

    What was sent is summed up in a manifest, with which a warehouse can be compared. Running the
    command again sends the same events again, and an event counts once.
    """
    settings = load_settings()
    log_to(settings.home)
    with _progress("preparing orders") as say:
        from ingestion.generate_pbm_orders import OrderSimulation

        simulation = OrderSimulation(
            orders=orders,
            seed=seed,
            start=start.date(),
            days=days,
            duplicates=duplicates,
            late=late,
            malformed=malformed,
            shuffle=shuffle,
            incident=None if incident is None else incident.value,
        )
        sent = 0
        with _opened_target(settings, to) as send:
            for batch in _paced(simulation.batches(), rate):
                send(batch)
                sent += len(batch)
                say(f"{sent:,} messages")
    summary = simulation.manifest().as_dict()
    path = manifest or settings.home / "manifests" / f"{summary['sha256'][:12]}.json"
    _write_manifest(path, summary)
    if json and to != "-":
        console.print_json({**summary, "incident": summary["incident"] and str(path)})
    else:
        console.say(
            f"{summary['messages']:,} messages of {summary['orders']:,} orders to {to}: "
            f"{summary['events']:,} events, {summary['duplicates']:,} sent again, "
            f"{summary['malformed']:,} malformed. Manifest: {path}"
        )


@contextmanager
def _opened_target(
    settings: Settings, to: str
) -> Iterator[Callable[["Sequence[SimulatedMessage]"], None]]:
    """Yield how to send a batch to the topic, a file or standard output."""
    if to == "pubsub":
        os.environ["PUBSUB_EMULATOR_HOST"] = Stack(settings).require_pubsub_emulator_host()
        from ingestion.publisher import OrdersPublisher

        publisher = OrdersPublisher(settings.topic_path)
        yield lambda batch: _ignore(publisher.publish(batch))
    elif to == "-":
        yield lambda batch: sys.stdout.buffer.writelines(one.data + b"\n" for one in batch)
        sys.stdout.buffer.flush()
    else:
        path = Path(to)
        draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
        try:
            with draft.open("wb") as file:
                yield lambda batch: file.writelines(one.data + b"\n" for one in batch)
            draft.replace(path)
        except OSError as error:
            raise InputError(
                f"The file {path} cannot be written: {error.strerror}.",
                "Name a file in a folder that exists and that you may write.",
            ) from error
        finally:
            draft.unlink(missing_ok=True)


def _ignore(_: object) -> None:
    return


def _paced(
    batches: "Iterator[list[SimulatedMessage]]", rate: float
) -> "Iterator[Sequence[SimulatedMessage]]":
    """The same messages, at ``rate`` a second in slices of about a tenth of a second."""
    if not rate:
        yield from batches
        return
    started = time.monotonic()
    size = max(1, round(rate / 10))
    sent = 0
    for batch in batches:
        for first in range(0, len(batch), size):
            yield batch[first : first + size]
            sent += len(batch[first : first + size])
            time.sleep(max(0.0, started + sent / rate - time.monotonic()))


def _write_manifest(path: Path, summary: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dumps(summary, indent=2) + "\n")
    except OSError as error:
        raise InputError(
            f"The manifest {path} cannot be written: {error.strerror}.",
            "Give --manifest a file that you may write.",
        ) from error


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
    ] = 10_000,
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
    with _progress(f"ingesting from {from_}") as say:
        from ingestion.sources import FileSource, Source

        source: Source
        if from_ == "pubsub":
            run = _run_of(settings, settings.subscription_path)
            source = _pubsub_source(settings, run, batch_size=batch_size, follow=follow)
        else:
            source = FileSource(Path(from_), batch_size=batch_size)
            run = _run_of(settings, source.name)
        from ingestion import micro_batches

        landed = micro_batches.ingest(
            source,
            run,
            lambda so_far: say(f"{so_far.read:,} messages read"),
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


def _run_of(settings: Settings, source: str) -> "IngestRun":
    from ingestion.runs import IngestRun

    return IngestRun(Stack(settings).require_postgres_dsn(), source)


def _pubsub_source(
    settings: Settings, run: "IngestRun", *, batch_size: int, follow: bool
) -> "PubSubSource":
    from ingestion.sources import PubSubSource

    # Google's client library reads the emulator's address from the environment only
    os.environ["PUBSUB_EMULATOR_HOST"] = Stack(settings).require_pubsub_emulator_host()
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
        run=run,
        stopping=lambda: stopping,
    )
