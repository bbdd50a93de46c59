"""Where checked messages go: bronze and the dead letters, in one transaction."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from ingestion.events import DeadLetter, RawOrder
from pbm import warehouse


@dataclass
class Landed:
    """What became of some messages.

    Attributes:
        accepted: Messages that are new rows of bronze.
        already_there: Messages that bronze or the dead letters held before.
        dead_letters: New dead letters by reason.
    """

    accepted: int = 0
    already_there: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)

    @property
    def read(self) -> int:
        """All messages: each is accepted, already there, or a dead letter."""
        return self.accepted + self.already_there + self.dead_letters.total()

    def add(self, other: "Landed") -> None:
        """Count what became of ``other`` messages too."""
        self.accepted += other.accepted
        self.already_there += other.already_there
        self.dead_letters += other.dead_letters


_RAW_ORDER_COLUMNS = ", ".join(RawOrder._fields)
_DEAD_LETTER_COLUMNS = ", ".join(DeadLetter._fields)

_CREATE_INCOMING = """
create temporary table if not exists incoming_raw_orders
(like pbm_bronze.raw_orders) on commit delete rows;
create temporary table if not exists incoming_dead_letters
(like pbm_bronze.dead_letter_orders) on commit delete rows;
alter table incoming_raw_orders alter column ingested_at drop not null;
alter table incoming_dead_letters
    alter column failed_at drop not null,
    alter column replay_count drop not null;
"""

# A message that is one of the two already stays what it is: a file that is read again later would
# otherwise turn a timestamp that was too far ahead into an accepted one. Rows go in by message id,
# so that two ingesters with the same messages wait for each other and never deadlock.
_INSERT_RAW_ORDERS = f"""
insert into pbm_bronze.raw_orders ({_RAW_ORDER_COLUMNS})
select {_RAW_ORDER_COLUMNS}
from incoming_raw_orders
where not exists (
    select from pbm_bronze.dead_letter_orders
    where dead_letter_orders.message_id = incoming_raw_orders.message_id
)
order by message_id
on conflict (message_id) do nothing
"""  # noqa: S608  column names of our own
_INSERT_DEAD_LETTERS = f"""
insert into pbm_bronze.dead_letter_orders ({_DEAD_LETTER_COLUMNS})
select {_DEAD_LETTER_COLUMNS}
from incoming_dead_letters
where not exists (
    select from pbm_bronze.raw_orders
    where raw_orders.message_id = incoming_dead_letters.message_id
)
order by message_id
on conflict (message_id) do nothing
returning error_type
"""  # noqa: S608


class PostgresBronze:
    """Bronze in PostgreSQL; one connection, opened at first use and again after a failure.

    Args:
        dsn: Connection string of the warehouse.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._where = warehouse.describe(dsn)
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None

    def land(self, raw_orders: Sequence[RawOrder], dead_letters: Sequence[DeadLetter]) -> Landed:
        """Insert what is new, in one transaction, and say what became of each message.

        Raises:
            ServiceError: The database was lost or refused; nothing was committed.
        """
        with warehouse.translated_errors(self._where):
            try:
                return self._land(raw_orders, dead_letters)
            except psycopg.Error:
                self.close()
                raise

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def row(values: RawOrder | DeadLetter) -> list[object]:
        """The values as ``COPY`` takes them: attributes as JSON."""
        return [
            json.dumps(dict(v), sort_keys=True) if isinstance(v, Mapping) else v for v in values
        ]

    def _land(self, raw_orders: Sequence[RawOrder], dead_letters: Sequence[DeadLetter]) -> Landed:
        landed = Landed()
        with self._opened().transaction(), self._opened().cursor() as cursor:
            if raw_orders:
                with cursor.copy(
                    f"copy incoming_raw_orders ({_RAW_ORDER_COLUMNS}) from stdin"
                ) as copy:
                    for order in raw_orders:
                        copy.write_row(self.row(order))
                cursor.execute(_INSERT_RAW_ORDERS)
                landed.accepted = cursor.rowcount
            if dead_letters:
                with cursor.copy(
                    f"copy incoming_dead_letters ({_DEAD_LETTER_COLUMNS}) from stdin"
                ) as copy:
                    for letter in dead_letters:
                        copy.write_row(self.row(letter))
                cursor.execute(_INSERT_DEAD_LETTERS)
                landed.dead_letters = Counter(str(row[0]) for row in cursor)
        landed.already_there = len(raw_orders) + len(dead_letters) - landed.read
        return landed

    def _opened(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._connection is None:
            self._connection = warehouse.connect(self._dsn, role=warehouse.LOADER)
            self._connection.execute(_CREATE_INCOMING)
            self._connection.commit()
        return self._connection
