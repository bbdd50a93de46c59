"""The Beam job: read, check, pseudonymise, land in bronze, dead letters aside.

One graph for every runner. Its elements are chunks of messages rather than single ones, because
both the database and Beam itself work best on a thousand at a time.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import apache_beam as beam
from apache_beam.metrics import Metrics

from ingestion.events import DeadLetter, Message, Pseudonymiser, RawOrder, check_message
from ingestion.sinks import Landed

NAMESPACE = "ingestion"
"""Namespace of the job's counters: ``accepted``, ``already_there``, ``dead_letters.<reason>``."""

_LOG = logging.getLogger(__name__)


class CheckedChunk(NamedTuple):
    """Messages after the check."""

    raw_orders: list[RawOrder]
    dead_letters: list[DeadLetter]


class Bronze(Protocol):
    """Where checked messages land; see ``ingestion.sinks``."""

    def land(self, raw_orders: Sequence[RawOrder], dead_letters: Sequence[DeadLetter]) -> Landed:
        """Insert what is new, in one transaction."""


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
    """Checked chunks to bronze and the dead letters; counts what became of the messages.

    Args:
        open_bronze: Called on the worker, which keeps what it returns.
    """

    def __init__(self, open_bronze: Callable[[], Bronze]) -> None:
        self._open_bronze = open_bronze

    def setup(self) -> None:
        """Open bronze where the work is done."""
        self._bronze = self._open_bronze()

    def process(self, element: CheckedChunk) -> Iterator[Landed]:
        """Land one chunk in one transaction."""
        landed = self._bronze.land(element.raw_orders, element.dead_letters)
        Metrics.counter(NAMESPACE, "accepted").inc(landed.accepted)
        Metrics.counter(NAMESPACE, "already_there").inc(landed.already_there)
        for reason, count in landed.dead_letters.items():
            Metrics.counter(NAMESPACE, f"dead_letters.{reason}").inc(count)
        yield landed


class IngestOrders(beam.PTransform):
    """Chunks of messages to what became of them.

    Args:
        load_pseudonymiser: Gives a worker the key of the patient pseudonyms.
        open_bronze: Gives a worker its connection to bronze.
    """

    def __init__(
        self,
        load_pseudonymiser: Callable[[], Pseudonymiser],
        open_bronze: Callable[[], Bronze],
    ) -> None:
        super().__init__()
        self._load_pseudonymiser = load_pseudonymiser
        self._open_bronze = open_bronze

    def expand(self, chunks: beam.PCollection) -> beam.PCollection:
        """Check and pseudonymise, then land."""
        return (
            chunks
            | "Check and pseudonymise" >> beam.ParDo(CheckMessages(self._load_pseudonymiser))
            | "Land in bronze" >> beam.ParDo(LandInBronze(self._open_bronze))
        )
