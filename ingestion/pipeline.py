"""The Beam job: check, pseudonymise, land in bronze, count in windows, land the panes.

One graph for every runner; where messages come from and where rows go is given to it. Its elements
are chunks of messages rather than single ones, because both the database and Beam itself work best
on a thousand at a time; a stream may send chunks of one.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.transforms import window

from ingestion import live
from ingestion.events import DeadLetter, Message, Pseudonymiser, RawOrder, check_message
from ingestion.live import LiveKey, Pane
from ingestion.sinks import Landed, LandedChunk

NAMESPACE = "ingestion"
"""Namespace of the job's counters: ``accepted``, ``already_there``, ``dead_letters.<reason>``."""


class CheckedChunk(NamedTuple):
    """Messages after the check."""

    raw_orders: list[RawOrder]
    dead_letters: list[DeadLetter]


class ChunkCoder(beam.coders.Coder):
    """Chunks by pickle, with a size that costs nothing to tell.

    Runners ask for the size of elements to report it. Beam's own answer for such types is to
    pickle the chunk and throw the bytes away: a fifth of the time of the local loop.
    """

    def encode(self, value: Any) -> bytes:  # noqa: ANN401  Beam has no types
        """Return the chunk's bytes."""
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> Any:  # noqa: ANN401
        """Return the chunk of some bytes."""
        return pickle.loads(encoded)  # noqa: S301  written by this job's own workers

    def estimate_size(self, value: Any) -> int:  # noqa: ANN401
        """Return about how many bytes that would be."""
        messages = (
            sum(len(part) for part in value) if isinstance(value, CheckedChunk) else len(value)
        )
        return _MESSAGE_BYTES * messages


_MESSAGE_BYTES = 1000


class MessageChunk(list[Message]):
    """Messages that go through the graph together; the element that ``IngestOrders`` takes."""


beam.coders.registry.register_coder(MessageChunk, ChunkCoder)
beam.coders.registry.register_coder(CheckedChunk, ChunkCoder)

LiveChange = tuple[tuple[int, str, str | None, str | None], int]
"""How a live count changes: minute in Unix seconds, event type, state, status; how many more."""


class Landing(Protocol):
    """The two steps of the graph that write, for one kind of warehouse."""

    def bronze(self) -> beam.PTransform:
        """Checked chunks to bronze and dead letters; out come ``LiveChange`` in event time."""

    def panes(self) -> beam.PTransform:
        """Panes to the live table."""


class Sink(Protocol):
    """Where checked messages and panes land; see ``ingestion.sinks``."""

    def land(
        self, raw_orders: Sequence[RawOrder], dead_letters: Sequence[DeadLetter]
    ) -> LandedChunk:
        """Insert what is new, and say how the live counts change."""

    def land_panes(self, panes: Sequence[Pane]) -> None:
        """Insert panes."""


def check_chunk(messages: Sequence[Message], pseudonymiser: Pseudonymiser) -> CheckedChunk:
    """Check every message by the contract's acceptance table, and pseudonymise its patient."""
    checked = CheckedChunk([], [])
    for message in messages:
        result = check_message(message, pseudonymiser)
        if isinstance(result, RawOrder):
            checked.raw_orders.append(result)
        else:
            checked.dead_letters.append(result)
    return checked


class CheckMessages(beam.DoFn):
    """Chunks of messages to checked chunks.

    Args:
        load_pseudonymiser: Called on the worker. The key itself never travels in the graph.
    """

    def __init__(self, load_pseudonymiser: Callable[[], Pseudonymiser]) -> None:
        self._load_pseudonymiser = load_pseudonymiser

    def setup(self) -> None:
        """Fetch the key where the work is done."""
        self._pseudonymiser = self._load_pseudonymiser()

    def process(self, element: Sequence[Message]) -> Iterator[CheckedChunk]:
        """One chunk in, one chunk out."""
        yield check_chunk(element, self._pseudonymiser)


class LandInBronze(beam.DoFn):
    """Checked chunks to bronze and the dead letters; out come changes of the live counts.

    Args:
        open_sink: Called on the worker, which keeps what it returns.
    """

    def __init__(self, open_sink: Callable[[], Sink]) -> None:
        self._open_sink = open_sink

    def setup(self) -> None:
        """Open the sink where the work is done."""
        self._sink = self._open_sink()

    def process(self, element: CheckedChunk) -> Iterator[Any]:
        """Land one chunk; yield its changes of the live counts, each in its minute's time."""
        chunk = self._sink.land(element.raw_orders, element.dead_letters)
        report(chunk.landed)
        for (start, key), change in chunk.live_changes.items():
            yield live_change(start, key, change)


def live_change(start: datetime, key: LiveKey, change: int) -> window.TimestampedValue:
    """A ``LiveChange`` in the time of its minute.

    The minute is part of the key too, because not every engine groups by window (Beam's
    ``DaskRunner`` drops windows); where one does, the counts are the same.
    """
    seconds = int(start.timestamp())
    return window.TimestampedValue(((seconds, *key), change), seconds)


class CountInWindows(beam.PTransform):
    """Changes of the live counts to panes of one-minute windows of publish time.

    Args:
        emission: What tells this run's panes from any other's.
        windowing: How to window; fixed windows of one minute, with a runner's default trigger,
            if not given. Panes must be discarding: a reader adds them up.
    """

    def __init__(self, emission: str, windowing: beam.WindowInto | None = None) -> None:
        super().__init__()
        self._emission = emission
        self._windowing = windowing or beam.WindowInto(
            window.FixedWindows(live.WINDOW.total_seconds())
        )

    def expand(self, changes: beam.PCollection) -> beam.PCollection:
        """Window, add up, and make panes."""
        return (
            changes
            | "Window by minute" >> self._windowing
            | "Add up" >> beam.CombinePerKey(sum)
            | "Make panes" >> beam.ParDo(_MakePanes(self._emission))
        )


class _MakePanes(beam.DoFn):
    def __init__(self, emission: str) -> None:
        self._emission = emission

    def process(
        self,
        element: LiveChange,
        pane_info: Any = beam.DoFn.PaneInfoParam,  # noqa: ANN401
    ) -> Iterator[Pane]:
        (seconds, event_type, state, status), change = element
        if change:
            key = LiveKey(event_type, state, status)
            emission = f"{self._emission} {pane_info.index}"
            yield live.pane(emission, datetime.fromtimestamp(seconds, UTC), key, change)


class LandPanes(beam.DoFn):
    """Panes to the live table, a bundle at a time.

    Args:
        open_sink: Called on the worker, which keeps what it returns.
    """

    def __init__(self, open_sink: Callable[[], Sink]) -> None:
        self._open_sink = open_sink

    def setup(self) -> None:
        """Open the sink where the work is done."""
        self._sink = self._open_sink()

    def start_bundle(self) -> None:
        """Begin with no panes."""
        self._panes: list[Pane] = []

    def process(self, element: Pane) -> None:
        """Keep a pane for the end of the bundle."""
        self._panes.append(element)

    def finish_bundle(self) -> None:
        """Land the bundle's panes."""
        if self._panes:
            self._sink.land_panes(self._panes)


class ThroughSink:
    """A ``Landing`` that hands a chunk at a time to a ``Sink``, on the worker.

    Args:
        open_sink: Gives a worker its connection to the warehouse.
    """

    def __init__(self, open_sink: Callable[[], Sink]) -> None:
        self._open_sink = open_sink

    def bronze(self) -> beam.PTransform:
        """See ``Landing``."""
        return beam.ParDo(LandInBronze(self._open_sink))

    def panes(self) -> beam.PTransform:
        """See ``Landing``."""
        return beam.ParDo(LandPanes(self._open_sink))


class IngestOrders(beam.PTransform):
    """Chunks of messages to bronze, dead letters and live panes.

    Args:
        load_pseudonymiser: Gives a worker the key of the patient pseudonyms.
        landing: How to write to the warehouse.
        emission: What tells this run's panes from any other's.
        windowing: See ``CountInWindows``.
    """

    def __init__(
        self,
        load_pseudonymiser: Callable[[], Pseudonymiser],
        landing: Landing,
        emission: str,
        windowing: beam.WindowInto | None = None,
    ) -> None:
        super().__init__()
        self._load_pseudonymiser = load_pseudonymiser
        self._landing = landing
        self._emission = emission
        self._windowing = windowing

    def expand(self, chunks: beam.PCollection) -> beam.PCollection:
        """Check and pseudonymise, land, count, land the panes."""
        return (
            chunks
            | "Check and pseudonymise"
            >> beam.ParDo(CheckMessages(self._load_pseudonymiser))
            .with_input_types(Any)  # any sequence of messages
            .with_output_types(CheckedChunk)
            | "Land in bronze" >> self._landing.bronze()
            | "Count in windows" >> CountInWindows(self._emission, self._windowing)
            | "Land the panes" >> self._landing.panes()
        )


def report(landed: Landed) -> None:
    """Add what became of some messages to the job's counters."""
    Metrics.counter(NAMESPACE, "accepted").inc(landed.accepted)
    Metrics.counter(NAMESPACE, "already_there").inc(landed.already_there)
    for reason, count in landed.dead_letters.items():
        Metrics.counter(NAMESPACE, f"dead_letters.{reason}").inc(count)


def counted(metrics: Any) -> Landed:  # noqa: ANN401  Beam has no types
    """What became of all messages, from the counters of a finished job."""
    counts: Counter[str] = Counter()
    query = beam.metrics.MetricsFilter().with_namespace(NAMESPACE)
    for counter in metrics.query(query)["counters"]:
        counts[counter.key.metric.name] += counter.result
    reasons = {name: count for name, count in counts.items() if name.startswith("dead_letters.")}
    return Landed(
        counts["accepted"],
        counts["already_there"],
        Counter({name.removeprefix("dead_letters."): count for name, count in reasons.items()}),
    )
