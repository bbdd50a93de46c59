"""The local way to run the job: micro-batches, each acknowledged after its commit.

Beam's own direct runner acknowledges a message before the pipeline has seen it, so that a failure
or a kill loses it. Here a batch is pulled, the job's graph runs over it as one bounded pipeline,
and only when that has committed is the batch acknowledged. A kill at any moment leaves messages
that come again, and a message that comes again changes nothing.
"""

import functools
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from ingestion.events import Message, Pseudonymiser
from ingestion.pipeline import NAMESPACE, IngestOrders
from ingestion.sinks import Landed, PostgresBronze
from ingestion.sources import Batch, Source
from pbm.errors import PbmError
from pbm.settings import load_settings
from pbm.stack import Stack

CHUNK = 1000
"""Messages in one element of the graph, and in one transaction."""

_LOG = logging.getLogger(__name__)


class _Desk:
    """Where the loop and the graph, which share a process, hand each other things.

    Messages do not go through ``beam.Create``, which would pickle and compress them into the
    graph: four fifths of the time. An error comes back here because the runner reports a failed
    bundle as text.
    """

    def __init__(self) -> None:
        self.batches: dict[int, list[Message]] = {}
        self.errors: dict[int, PbmError] = {}


_desk = _Desk()
_numbers = itertools.count()


class TakeChunks(beam.DoFn):
    """Take a batch of this process from the desk, in chunks.

    Args:
        batch_number: The number under which the loop laid it there.
    """

    def __init__(self, batch_number: int) -> None:
        self._batch_number = batch_number

    def process(self, _: bytes) -> Iterator[Sequence[Message]]:
        """The impulse in, the batch's chunks out."""
        messages = _desk.batches[self._batch_number]
        for start in range(0, len(messages), CHUNK):
            yield messages[start : start + CHUNK]


class _ReportingBronze:
    """Bronze that leaves its error on the desk before the runner turns it into text."""

    def __init__(self, batch_number: int) -> None:
        self._batch_number = batch_number

    def land(self, *arguments: Any) -> Landed:  # noqa: ANN401
        try:
            return _bronze().land(*arguments)
        except PbmError as error:
            _desk.errors[self._batch_number] = error
            raise


@functools.cache
def _bronze() -> PostgresBronze:
    return PostgresBronze(Stack(load_settings()).require_postgres_dsn())


@functools.cache
def load_pseudonymiser() -> Pseudonymiser:
    """The key of this process's settings: the environment's, or the local stack's own."""
    settings = load_settings()
    return Pseudonymiser(Stack(settings).pseudonym_key(), settings.pseudonym_key_version)


def ingest(source: Source, progress: Callable[[Landed], None] = lambda _: None) -> Landed:
    """Ingest all that ``source`` hands out; acknowledge each batch after its commit.

    Args:
        source: Where the messages come from. It is closed at the end.
        progress: Called after each batch with the counts so far.

    Returns:
        What became of all messages.

    Raises:
        ServiceError: The database or Pub/Sub was lost. What was not committed was not
            acknowledged.
    """
    total = Landed()
    load_pseudonymiser()  # a key that cannot be used is an error before the first message
    try:
        for batch in source.batches():
            total.add(_run(batch))
            source.acknowledge(batch)
            progress(total)
    finally:
        source.close()
        _bronze().close()
    _LOG.info("ingested", extra={"read": total.read, "accepted": total.accepted})
    return total


def _run(batch: Batch) -> Landed:
    number = next(_numbers)
    _desk.batches[number] = batch.messages
    pipeline = beam.Pipeline(
        runner=FnApiRunner(), options=PipelineOptions(["--no_save_main_session"])
    )
    _ = (
        pipeline
        | beam.Impulse()
        | "Take chunks" >> beam.ParDo(TakeChunks(number))
        | IngestOrders(load_pseudonymiser, functools.partial(_ReportingBronze, number))
    )
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception:
        error = _desk.errors.pop(number, None)
        if error is not None:
            raise error from None
        raise
    finally:
        del _desk.batches[number]
    return _landed(result.metrics())


def _landed(metrics: Any) -> Landed:  # noqa: ANN401  Beam has no types
    landed = Landed()
    for counter in metrics.query(beam.metrics.MetricsFilter().with_namespace(NAMESPACE))[
        "counters"
    ]:
        name, count = counter.key.metric.name, counter.result
        if name == "accepted":
            landed.accepted += count
        elif name == "already_there":
            landed.already_there += count
        else:
            landed.dead_letters[name.removeprefix("dead_letters.")] += count
    return landed
