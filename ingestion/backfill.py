"""The file backfill on a second engine: Beam's ``DaskRunner``, on a Dask cluster of two processes.

It runs the same graph as the local loop does, and what it leaves in the warehouse is the same. Two
things differ, because work is spread over processes: a chunk is a transaction of its own, and what
became of the messages is read from the warehouse, as this runner gives no counters. A chunk that
is landed twice, because a worker was lost after its commit, changes no row, but its live counts
are lost with the worker; the run ends with the repair that follows a kill.
"""

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from ingestion.events import WHITE_SPACE, DeadLetter, Message, RawOrder
from ingestion.live import Pane
from ingestion.micro_batches import CHUNK, load_pseudonymiser
from ingestion.pipeline import IngestOrders, ThroughSink
from ingestion.runs import IngestRun
from ingestion.sinks import Landed, LandedChunk, PostgresSink
from ingestion.sources import FileSource
from ingestion.suppression import load_hasher
from pbm import warehouse
from pbm.errors import ServiceError
from pbm.settings import load_settings
from pbm.stack import Stack

WORKERS = 2
"""Processes of the local Dask cluster."""

_WHITE_SPACE = WHITE_SPACE.encode()
_LOG = logging.getLogger(__name__)


class FileRange(NamedTuple):
    """Some whole lines of a file.

    Attributes:
        path: The file; every worker can read it.
        name: What tells the file's content from any other's.
        first_line: Number of the first line, from 1.
        offset: Where that line begins, in bytes.
        size: Bytes.
        publish_time: When the messages count as published.
    """

    path: str
    name: str
    first_line: int
    offset: int
    size: int
    publish_time: datetime


def ranges(path: Path, name: str, lines: int) -> Iterator[FileRange]:
    """A file in ranges of ``lines`` lines. One pass: message ids need the lines' numbers."""
    publish_time = datetime.now(UTC)
    with path.open("rb") as file:
        first, offset, size = 1, 0, 0
        for number, line in enumerate(file, start=1):
            size += len(line)
            if number - first + 1 == lines:
                yield FileRange(str(path), name, first, offset, size, publish_time)
                first, offset, size = number + 1, offset + size, 0
        if size:
            yield FileRange(str(path), name, first, offset, size, publish_time)


def read_range(part: FileRange) -> list[Message]:
    """The messages of a range, with the ids that ``FileSource`` gives them."""
    with Path(part.path).open("rb") as file:
        file.seek(part.offset)
        lines = file.read(part.size).split(b"\n")
    return [
        Message(f"{part.name}-{number:010d}", line, {}, part.publish_time)
        for number, line in enumerate(lines, start=part.first_line)
        if line.strip(_WHITE_SPACE)
    ]


class ReadRanges(beam.DoFn):
    """Ranges of a file to chunks of messages."""

    def process(self, element: FileRange) -> Iterator[Sequence[Message]]:
        """One range in, one chunk out."""
        yield read_range(element)


class CommittingSink:
    """A sink that commits each chunk, and counts it in the run's record.

    Args:
        sink: Where to.
        run_id: The run.
    """

    def __init__(self, sink: PostgresSink, run_id: UUID) -> None:
        self._sink = sink
        self._run_id = run_id

    def land(
        self, raw_orders: Sequence[RawOrder], dead_letters: Sequence[DeadLetter]
    ) -> LandedChunk:
        """Insert what is new, in a transaction."""
        with self._sink.transaction():
            chunk = self._sink.land(raw_orders, dead_letters)
            self._sink.count_run(self._run_id, chunk.landed)
        return chunk

    def land_panes(self, panes: Sequence[Pane]) -> None:
        """Insert panes, in a transaction."""
        with self._sink.transaction():
            self._sink.land_panes(panes)


@functools.cache
def _sink() -> PostgresSink:
    """One connection for each process, which lives on the worker between its bundles."""
    return PostgresSink(Stack(load_settings()).require_postgres_dsn(), load_hasher)


def open_sink(run_id: UUID) -> CommittingSink:
    """The sink of this process, for a run."""
    return CommittingSink(_sink(), run_id)


def ingest(
    path: Path,
    run_of: Callable[[str], IngestRun],
    arguments: Sequence[str] = (),
) -> Landed:
    """Ingest a file on a local Dask cluster of two worker processes.

    Args:
        path: The file, one message a line.
        run_of: Begins the record of a run, given the source's name.
        arguments: Further options of Beam's, such as ``--dask_npartitions``.

    Returns:
        What became of all messages.

    Raises:
        InputError: The file cannot be read.
        ServiceError: A worker failed. What it had committed is safe.
    """
    # imported here: the package is needed for this engine only
    from apache_beam.runners.dask.dask_runner import DaskRunner
    from dask import distributed

    source = FileSource(path, batch_size=CHUNK)
    source.close()
    settings = load_settings()
    load_pseudonymiser()  # a key that cannot be used is an error before the first message
    run = run_of(source.name)
    began = datetime.now(UTC)
    parts = list(ranges(path.absolute(), source.name, CHUNK))
    if parts:
        try:
            with distributed.LocalCluster(
                n_workers=WORKERS,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                local_directory=str(settings.home / "dask"),
                silence_logs=logging.ERROR,
            ) as cluster:
                options = PipelineOptions(
                    [
                        f"--dask_client_address={cluster.scheduler_address}",
                        "--dask_partition_size=1",
                        "--no_save_main_session",
                        *arguments,
                    ]
                )
                pipeline = beam.Pipeline(runner=DaskRunner(), options=options)
                build(pipeline, parts, run.run_id)
                result = pipeline.run()
                result.wait_until_finish()
                result.client.close()
        except Exception as error:
            raise ServiceError(
                f"The backfill on Dask failed: {type(error).__name__}.",
                "What was committed is safe, and the next run of `pbm ingest` repairs the live "
                "counts. Run the command again; --verbose shows the cause.",
            ) from error
    landed = _landed(run, source.name, began)
    repaired = _sink().repair_windows(began)
    if repaired:
        _LOG.warning("repaired live windows", extra={"panes": repaired})
    _sink().close()
    run.end()
    return landed


def build(pipeline: beam.Pipeline, parts: Sequence[FileRange], run_id: UUID) -> None:
    """The graph of a backfill."""
    _ = (
        pipeline
        | "Ranges" >> beam.Create(parts, reshuffle=False)
        | "Read lines" >> beam.ParDo(ReadRanges())
        | IngestOrders(
            load_pseudonymiser,
            ThroughSink(functools.partial(open_sink, run_id)),
            emission=str(run_id),
        )
    )


def _landed(run: IngestRun, name: str, began: datetime) -> Landed:
    dsn = Stack(load_settings()).require_postgres_dsn()
    with (
        warehouse.connect(dsn, role=warehouse.LOADER) as connection,
        warehouse.translated_errors(warehouse.describe(dsn)),
    ):
        counts: Any = connection.execute(
            "select accepted, already_there from pbm_ops.ingest_runs where run_id = %s",
            (run.run_id,),
        ).fetchone()
        reasons = connection.execute(
            "select error_type, count(*) from pbm_bronze.dead_letter_orders"
            " where failed_at >= %s and starts_with(message_id, %s) group by error_type",
            (began, f"{name}-"),
        ).fetchall()
    accepted, already_there = counts
    return Landed(
        accepted,
        already_there,
        Counter({str(reason): int(str(count)) for reason, count in reasons}),
    )
