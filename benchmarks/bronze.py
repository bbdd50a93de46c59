"""A year of orders for bronze, as it would have come in, without the wait."""

import itertools
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import psycopg

from ingestion.events import Message, Pseudonymiser, RawOrder
from ingestion.generate_pbm_orders import OrderSimulation
from ingestion.pipeline import check_chunk
from ingestion.sinks import copy_line

FIRST_DAY = date(2025, 1, 6)
DAYS = 365
_PUBLISHED_AFTER = timedelta(seconds=1)
_INGESTED_AFTER = timedelta(seconds=3)
_BATCHES_AT_ONCE = 32
_FIRST_OF_BATCH = 100
_COLUMNS = ", ".join((*RawOrder._fields, "ingested_at"))


class Line(NamedTuple):
    """One row of bronze.

    Attributes:
        ingested_at: When it came in.
        text: The row in the text format of ``COPY``.
    """

    ingested_at: datetime
    text: str


def year_of_lines(orders: int) -> Iterator[Line]:
    """Make the rows of bronze of a year of orders, in the order in which they come in.

    One event in a hundred is sent again, and one in fifty comes hours or days late. Every row is
    what ingestion's own check makes of its message; it is published a second after the newest
    event so far, and ingested moments later.

    Args:
        orders: How many are placed in the year.
    """
    simulation = OrderSimulation(
        orders=orders, seed=1, start=FIRST_DAY, days=DAYS, duplicates=0.01, late=0.02
    )
    batches = enumerate([message.data for message in batch] for batch in simulation.batches())
    with multiprocessing.get_context("spawn").Pool() as pool:
        # a pool that is given an iterator takes all of it at once
        while several := list(itertools.islice(batches, _BATCHES_AT_ONCE)):
            for lines in pool.map(_checked, several, chunksize=1):
                yield from lines


def _checked(numbered: tuple[int, Sequence[bytes]]) -> list[Line]:
    number, batch = numbered
    now = datetime.now(UTC)
    messages = [
        Message(f"bench-{number:05d}-{position:04d}", data, {}, now)
        for position, data in enumerate(batch)
    ]
    checked = check_chunk(messages, Pseudonymiser("k" * 32, 1))
    if checked.dead_letters:
        raise ValueError(checked.dead_letters[0].error_message)
    rows = checked.raw_orders
    # late events come in between those of the day
    newest = max(row.event_timestamp for row in rows[:_FIRST_OF_BATCH])
    lines = []
    for row in rows:
        newest = max(newest, row.event_timestamp)
        published = row._replace(publish_time=newest + _PUBLISHED_AFTER)
        ingested_at = newest + _INGESTED_AFTER
        lines.append(Line(ingested_at, f"{copy_line(published)[:-1]}\t{ingested_at.isoformat()}\n"))
    return lines


def load(connection: psycopg.Connection, lines: Iterable[Line]) -> int:
    """Copy rows into bronze; return how many.

    Args:
        connection: To the warehouse; what it holds is committed.
        lines: The rows.
    """
    count = 0
    copying = f"copy pbm_bronze.raw_orders ({_COLUMNS}) from stdin"
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        for line in lines:
            copy.write(line.text)
            count += 1
    connection.commit()
    return count
