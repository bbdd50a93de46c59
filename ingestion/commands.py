"""The commands of ingestion: `pbm generate …` and `pbm ingest`; the others are registered here."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from json import loads as parse_json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ingestion import (
    contract_commands,
    dead_letter_commands,
    privacy_commands,
    reconcile_commands,
    survey_commands,
)
from ingestion.files import written
from ingestion.manifests import PUBSUB, Sending
from pbm import console
from pbm.errors import UsageError
from pbm.logs import log_to
from pbm.settings import Settings, load_settings
from pbm.stack import Stack

if TYPE_CHECKING:
    from ingestion.generate_pbm_orders import SimulatedMessage
    from ingestion.runs import IngestRun
    from ingestion.sinks import Landed
    from ingestion.sources import PubSubSource

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

generate_app = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of ingestion to `pbm`."""
    app.add_typer(generate_app, name="generate")
    # what `ingest` does not know is an option of Beam's
    beam_options = {"allow_extra_args": True, "ignore_unknown_options": True}
    app.command(context_settings=beam_options)(ingest)
    app.add_typer(dead_letter_commands.app, name="dead-letters")
    generate_app.command("surveys")(survey_commands.generate_surveys)
    app.add_typer(survey_commands.app, name="surveys")
    reconcile_commands.register(app)
    privacy_commands.register(app)
    app.add_typer(contract_commands.contract_app, name="contract")


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
    real_time: Annotated[
        bool,
        typer.Option(
            "--real-time",
            help="Send what has happened by now at once, and every later event when it happens.",
        ),
    ] = False,
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
    if real_time and (rate or shuffle or late):
        raise UsageError(
            "--real-time goes with none of --rate, --shuffle and --late.",
            "In real time every event has its own moment.",
        )
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
        sending = Sending(
            manifest,
            settings.home / "manifests",
            namespace=simulation.namespace,
            sent_to=to,
            topic=settings.topic_path if to == PUBSUB else None,
        )
        sent = 0
        with _opened_target(settings, to) as send:
            if to == PUBSUB:
                sending.begin()
            batches = simulation.batches()
            for batch in in_real_time(batches) if real_time else _paced(batches, rate):
                send(batch)
                sent += len(batch)
                say(f"{sent:,} messages")
    summary = sending.finish(simulation.manifest().as_dict())
    path = sending.path
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
    if to == PUBSUB:
        if not settings.on_google_cloud:
            os.environ["PUBSUB_EMULATOR_HOST"] = Stack(settings).require_pubsub_emulator_host()
        from ingestion.publisher import OrdersPublisher

        publisher = OrdersPublisher(settings.topic_path)
        yield lambda batch: _ignore(publisher.publish(batch))
    elif to == "-":
        yield lambda batch: sys.stdout.buffer.writelines(one.data + b"\n" for one in batch)
        sys.stdout.buffer.flush()
    else:
        with written(Path(to)) as file:
            yield lambda batch: file.writelines(one.data + b"\n" for one in batch)


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


def in_real_time(
    batches: "Iterator[list[SimulatedMessage]]",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    sleep: Callable[[float], None] = time.sleep,
) -> "Iterator[Sequence[SimulatedMessage]]":
    """The same messages, each when it has happened.

    Args:
        batches: Messages in the order of their events' time.
        now: The clock.
        sleep: Waits for so many seconds.
    """
    for batch in batches:
        due: list[SimulatedMessage] = []
        for message in batch:
            while (happens_at := _happens_at(message)) is not None and happens_at > now():
                if due:
                    yield due
                    due = []
                else:
                    sleep(min(1.0, (happens_at - now()).total_seconds()))
            due.append(message)
        if due:
            yield due


def _happens_at(message: "SimulatedMessage") -> datetime | None:
    """When the event of a message happens; None where it does not say: it goes with the rest."""
    try:
        moment = datetime.fromisoformat(parse_json(message.data)["event_timestamp"])
    except (ValueError, KeyError, TypeError):
        return None
    # what is malformed on purpose may be of any time
    within = moment.tzinfo is not None and abs(moment - datetime.now(UTC)) < timedelta(days=3660)
    return moment if within else None


class Runner(StrEnum):
    """What runs the Beam graph."""

    LOCAL = "local"
    DASK = "DaskRunner"
    DATAFLOW = "DataflowRunner"


def ingest(
    context: typer.Context,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="pubsub|FILE",
            help="The subscription (the default), or a file with one message a line, for "
            "backfills and replays.",
        ),
    ] = None,
    *,
    drain: Annotated[
        bool, typer.Option("--drain", help="Stop when the subscription is empty (the default).")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until Ctrl-C, for a live stream.")
    ] = False,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Messages in one run of the Beam graph, at most.")
    ] = 20_000,
    runner: Annotated[
        Runner,
        typer.Option(
            help="local: micro-batches; DaskRunner: a file, on a local Dask cluster; "
            "DataflowRunner: start the stream in production. Further options go to Beam.",
        ),
    ] = Runner.LOCAL,
    json: JsonOption = False,
) -> None:
    """Land messages in bronze, exactly as received; what is not accepted, in the dead letters.

    A message is acknowledged after its commit, and one that comes again changes nothing: the
    command may be killed and run again at any time.

    With --runner DataflowRunner the job is built and submitted. It takes Beam's options and the
    job's own: --input_subscription, --output_project, --bronze_dataset, --speed_dataset,
    --ops_dataset, --pseudonym_key_secret, --pseudonym_key_version, --suppression_key_secret,
    --undeliverable_topic and --bigquery_write_method. --dry_run=True --no_auth builds it without
    sending it.
    """
    if runner is Runner.LOCAL and from_ is None:
        from_ = "pubsub"
    _check_usage(runner, from_, has_mode=drain or follow, further=context.args)
    if runner is Runner.DATAFLOW or from_ is None:
        _submit_to_dataflow(context.args, json=json)
        return
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
        if runner is Runner.DASK:
            from ingestion import backfill

            landed = backfill.ingest(
                Path(from_), lambda name: _run_of(settings, name), context.args
            )
        else:
            landed = _ingest_here(
                settings,
                from_,
                lambda so_far: say(f"{so_far.read:,} messages read"),
                batch_size=batch_size,
                follow=follow,
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


def _check_usage(runner: Runner, from_: str | None, *, has_mode: bool, further: list[str]) -> None:
    if runner is Runner.DATAFLOW:
        if from_ is not None or has_mode:
            raise UsageError(
                "--from, --drain and --follow are for ingestion on this machine.",
                "Name the subscription of the Dataflow job with --input_subscription.",
            )
    elif from_ is None:
        raise UsageError("--from is missing.", "DaskRunner needs --from FILE.")
    elif runner is Runner.LOCAL and further:
        raise UsageError(
            f"pbm ingest has no {further[0].split('=')[0]}.",
            "See `pbm ingest --help`. Options of Beam's need --runner.",
        )
    elif runner is Runner.DASK and from_ == "pubsub":
        raise UsageError("DaskRunner reads no stream.", "Give --from FILE, or leave --runner out.")


def _ingest_here(
    settings: Settings,
    from_: str,
    progress: "Callable[[Landed], None]",
    *,
    batch_size: int,
    follow: bool,
) -> "Landed":
    """Ingest in micro-batches in this process."""
    from ingestion.sources import FileSource, Source

    source: Source
    if from_ == "pubsub":
        run = _run_of(settings, settings.subscription_path)
        source = _pubsub_source(settings, run, batch_size=batch_size, follow=follow)
    else:
        source = FileSource(Path(from_), batch_size=batch_size)
        run = _run_of(settings, source.name)
    # imported last: it takes Beam seconds, in which the source pulls already
    from ingestion import micro_batches

    return micro_batches.ingest(source, run, progress)


def _submit_to_dataflow(arguments: list[str], *, json: bool) -> None:
    with _progress("building the job"):
        from ingestion import dataflow

        result = dataflow.submit(arguments)
    # a job that was not sent has none
    job_id = result.job_id() if hasattr(result, "job_id") else None
    if json:
        console.print_json({"job_id": job_id})
    else:
        console.say(
            "The job was built." if job_id is None else f"Dataflow has taken the job {job_id}."
        )


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
