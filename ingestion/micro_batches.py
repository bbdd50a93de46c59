"""The local way to run the job: micro-batches, each acknowledged after its commit.

Beam's own direct runner acknowledges a message before the pipeline has seen it, so that a failure
or a kill loses it. Here a batch is pulled, the job's graph runs over it as one bounded pipeline
within one transaction, and only when that has committed is the batch acknowledged. A kill at any
moment leaves messages that come again, and a message that comes again changes nothing.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from ingestion.events import Message, Pseudonymiser
from ingestion.patience import patiently
from ingestion.pipeline import IngestOrders, MessageChunk, ThroughSink, counted
from ingestion.runs import IngestRun
from ingestion.sinks import Landed, LandedChunk, PostgresSink
from ingestion.sources import Batch, Source
from ingestion.suppression import load_hasher
from pbm.errors import PbmError
from pbm.settings import load_settings
from pbm.stack import Stack

CHUNK = 2000
"""Messages in one element of the graph."""

_LOG = logging.getLogger(__name__)


class _Desk:
    """Where the loop and the graph, which share a process, hand each other things.

    Messages do not go through ``beam.Create``, which would pickle and compress them into the
    graph: four fifths of the time. An error comes back here because the runner reports a failed
    bundle as text.
    """

    def __init__(self) -> None:
        self.batches: dict[UUID, list[Message]] = {}
        self.errors: dict[UUID, PbmError] = {}


_desk = _Desk()


class TakeChunks(beam.DoFn):
    """Take a batch of this process from the desk, in chunks.

    Args:
        batch_id: Under which the loop laid it there.
    """

    def __init__(self, batch_id: UUID) -> None:
        self._batch_id = batch_id

    def process(self, _: bytes) -> Iterator[Sequence[Message]]:
        """The impulse in, the batch's chunks out."""
        messages = _desk.batches[self._batch_id]
        for start in range(0, len(messages), CHUNK):
            yield MessageChunk(messages[start : start + CHUNK])


class _ReportingSink:
    """The sink, leaving its error on the desk before the runner turns it into text."""

    def __init__(self, batch_id: UUID) -> None:
        self._batch_id = batch_id

    def land(self, *arguments: Any) -> LandedChunk:  # noqa: ANN401
        chunk: LandedChunk = self._do(_sink().land, *arguments)
        return chunk

    def land_panes(self, *arguments: Any) -> None:  # noqa: ANN401
        self._do(_sink().land_panes, *arguments)

    def _do(self, method: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        try:
            return method(*arguments)
        except PbmError as error:
            _desk.errors[self._batch_id] = error
            raise


@functools.cache
def _sink() -> PostgresSink:
    return PostgresSink(Stack(load_settings()).require_postgres_dsn(), load_hasher)


def load_pseudonymiser() -> Pseudonymiser:
    """The key in force: the environment's, or the local stack's own.

    It is looked for again for each batch, so that a key that was changed meanwhile is used.
    """
    stack = Stack(load_settings())
    return _pseudonymiser(stack, stack.pseudonym_key_version())


_pseudonymisers: dict[int, Pseudonymiser] = {}


def _pseudonymiser(stack: Stack, version: int) -> Pseudonymiser:
    if version not in _pseudonymisers:
        _pseudonymisers[version] = Pseudonymiser(stack.pseudonym_key(), version)
    return _pseudonymisers[version]


def ingest(
    source: Source, run: IngestRun, progress: Callable[[Landed], None] = lambda _: None
) -> Landed:
    """Ingest all that ``source`` hands out; acknowledge each batch after its commit.

    A warehouse that is lost is waited for, with the batch in hand. Windows that a killed run may
    have cut short are repaired first.

    Args:
        source: Where the messages come from. It is closed at the end.
        run: The record of this run. It is ended at the end.
        progress: Called after each batch with the counts so far.

    Returns:
        What became of all messages.

    Raises:
        UnreachableError: The warehouse or Pub/Sub was lost for too long. What was not committed was
            not acknowledged.
    """
    total = Landed()
    try:
        load_pseudonymiser()  # a key that cannot be used is an error before the first message
        repair_windows(run)
        for batch in source.batches():
            total.add(patiently(functools.partial(_run, batch, run)))
            source.acknowledge(batch)
            progress(total)
        run.end()
    finally:
        source.close()
        _sink().close()
    _LOG.info(
        "ingested",
        extra={"run_id": str(run.run_id), "read": total.read, "accepted": total.accepted},
    )
    return total


def repair_windows(run: IngestRun) -> int:
    """Correct the live windows of runs that were killed; return how many panes that took."""
    since = run.cut_short_since()
    if since is None:
        return 0
    panes = _sink().repair_windows(since)
    run.close_cut_short()
    if panes:
        _LOG.warning("repaired live windows", extra={"panes": panes, "since": since.isoformat()})
    return panes


def _run(batch: Batch, run: IngestRun) -> Landed:
    """Land one batch in one transaction."""
    _desk.batches[batch.batch_id] = batch.messages
    try:
        with _sink().transaction():
            pipeline = beam.Pipeline(
                runner=FnApiRunner(), options=PipelineOptions(["--no_save_main_session"])
            )
            _ = (
                pipeline
                | beam.Impulse()
                | "Take chunks"
                >> beam.ParDo(TakeChunks(batch.batch_id)).with_output_types(MessageChunk)
                | IngestOrders(
                    load_pseudonymiser,
                    ThroughSink(functools.partial(_ReportingSink, batch.batch_id)),
                    emission=str(batch.batch_id),
                )
            )
            try:
                result = pipeline.run()
                result.wait_until_finish()
            except Exception:
                error = _desk.errors.pop(batch.batch_id, None)
                if error is not None:
                    raise error from None
                raise
            landed = counted(result.metrics())
            _sink().count_run(run.run_id, landed)
    finally:
        del _desk.batches[batch.batch_id]
    return landed
