"""Where checked messages go in PostgreSQL: bronze, dead letters and live panes, all or nothing."""

import base64
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg

from ingestion import live
from ingestion.events import DeadLetter, ErrorType, RawOrder
from ingestion.live import FirstCopy, LiveKey, Pane
from ingestion.suppression import SubjectHasher, SuppressionList
from pbm import warehouse
from pbm.errors import ConfigurationError

REFUSED: Final = "refused_by_warehouse"
"""Reason of a dead letter that the contract accepts and the warehouse does not."""


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


_OTHER_RAW_ORDER_COLUMNS: Final = ", ".join(RawOrder._fields[1:])
_OTHER_DEAD_LETTER_COLUMNS: Final = ", ".join(DeadLetter._fields[1:])
_RAW_ORDER_COLUMNS: Final = ", ".join(RawOrder._fields)
_DEAD_LETTER_COLUMNS: Final = ", ".join(DeadLetter._fields)
_PANE_COLUMNS: Final = ", ".join(Pane._fields)

# One batch at a time lands in a database: whether a copy of an event is its first cannot be decided
# while another batch with a copy of it is half-way.
LANDING_LOCK: Final = 0x6C616E64

# Asked once the lock is held, by a statement of its own: it sees what the batch before committed.
# Later than that by a microsecond at least, whatever the clock did in between.
LANDING_TIME: Final = """
select greatest(
    clock_timestamp(),
    (select max(ingested_at) from pbm_bronze.raw_orders) + interval '1 microsecond',
    (select max(failed_at) from pbm_bronze.dead_letter_orders) + interval '1 microsecond',
    (select max(emitted_at) from pbm_speed.live_order_metrics) + interval '1 microsecond'
)
"""

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

# Pub/Sub never gives a message id twice, but its emulator counts from 1 again after a restart. A
# number that is taken by a message of another publish time is therefore another message, and gets
# its publish time as a suffix; a message that is delivered again has the same publish time.
_MESSAGE_ID = """
case
    when incoming.message_id ~ '^[0-9]+$'
        and (
            exists (
                select from pbm_bronze.raw_orders
                where
                    raw_orders.message_id = incoming.message_id
                    and raw_orders.publish_time <> incoming.publish_time
            )
            or exists (
                select from pbm_bronze.dead_letter_orders
                where
                    dead_letter_orders.message_id = incoming.message_id
                    and dead_letter_orders.publish_time <> incoming.publish_time
            )
        )
        then concat_ws(
            '@',
            incoming.message_id,
            cast(extract(epoch from incoming.publish_time) * 1000000 as bigint)
        )
    else incoming.message_id
end as message_id
"""

# A message that is one of the two already stays what it is: a file that is read again later would
# otherwise turn a timestamp that was too far ahead into an accepted one.
#
# The answer is about events: for each one that came, the copy that counts now if that is a new one,
# and the copy that counted until now if there was one. What a statement inserts it does not see
# in the table yet, so `raw_orders` holds the older copies only.
_INSERT_RAW_ORDERS = f"""
with

identified as (

    select {_MESSAGE_ID}, {_OTHER_RAW_ORDER_COLUMNS}
    from incoming_raw_orders as incoming

),

inserted as (

    insert into pbm_bronze.raw_orders ({_RAW_ORDER_COLUMNS}, ingested_at)
    select {_RAW_ORDER_COLUMNS}, cast(%(landing_time)s as timestamptz)
    from identified
    where not exists (
        select from pbm_bronze.dead_letter_orders
        where dead_letter_orders.message_id = identified.message_id
    )
    on conflict (message_id) do nothing
    returning message_id, event_id, publish_time

),

first_inserted as (

    select distinct on (event_id) *
    from inserted
    order by event_id, publish_time, message_id collate "C"

),

counting as (

    select
        first_inserted.message_id,
        older.event_type as older_event_type,
        older.payload as older_payload,
        older.publish_time as older_publish_time
    from first_inserted
    left join lateral (
        select raw_orders.*
        from pbm_bronze.raw_orders
        where raw_orders.event_id = first_inserted.event_id
        order by raw_orders.publish_time, raw_orders.message_id collate "C"
        limit 1
    ) as older on true
    where
        older.message_id is null
        or (first_inserted.publish_time, first_inserted.message_id collate "C")
        < (older.publish_time, older.message_id collate "C")

)

select
    (select count(*) from inserted) as accepted,
    message_id,
    older_event_type, older_payload, older_publish_time
from counting
right join (select 1) as always on true
"""  # noqa: S608  column names of our own
_INSERT_DEAD_LETTERS = f"""
with

identified as (

    select {_MESSAGE_ID}, {_OTHER_DEAD_LETTER_COLUMNS}
    from incoming_dead_letters as incoming

)

insert into pbm_bronze.dead_letter_orders ({_DEAD_LETTER_COLUMNS}, failed_at)
select {_DEAD_LETTER_COLUMNS}, cast(%(landing_time)s as timestamptz)
from identified
where not exists (
    select from pbm_bronze.raw_orders
    where raw_orders.message_id = identified.message_id
)
on conflict (message_id) do nothing
returning error_type
"""  # noqa: S608
INSERT_PANE: Final = f"""
insert into pbm_speed.live_order_metrics ({_PANE_COLUMNS}, emitted_at)
values ({", ".join(["%s"] * (len(Pane._fields) + 1))})
on conflict (pane_id) do nothing
"""  # noqa: S608
_COUNT_RUN = """
update pbm_ops.ingest_runs
set
    messages_read = messages_read + %s,
    accepted = accepted + %s,
    already_there = already_there + %s,
    dead_letters = dead_letters + %s,
    leased_until = greatest(leased_until, clock_timestamp() + interval '20 seconds')
where run_id = %s
"""


@dataclass
class LandedChunk:
    """What became of a chunk, and how the live counts change with it."""

    landed: Landed
    live_changes: Counter[tuple[datetime, LiveKey]]


class PostgresSink:
    """Bronze, dead letters and live panes in PostgreSQL, on one connection.

    What is landed between the start and the end of ``transaction`` is committed together, so that
    a kill at any moment leaves all of a batch or nothing of it. Its rows, dead letters and panes
    carry one time, later than that of every batch before: a reader that has seen a time has seen
    all that carries it or an earlier one.

    Args:
        dsn: Connection string of the warehouse.
        load_hasher: Gives the key of the list of erased patients. It is asked for only where the
            list has an entry.
    """

    def __init__(self, dsn: str, load_hasher: Callable[[], SubjectHasher] | None = None) -> None:
        self._dsn = dsn
        self._load_hasher = load_hasher
        self._suppressed: SuppressionList | None = None
        self._where = warehouse.describe(dsn)
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._landing_time: datetime | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block landed, or roll it back if it fails.

        Raises:
            ServiceError: The database was lost, and nothing of the block was committed, or the
                answer to the commit was lost. To land the same again is right in both cases.
        """
        with warehouse.translated_errors(self._where):
            try:
                connection = self._opened()
                connection.execute("select pg_advisory_xact_lock(%s)", (LANDING_LOCK,))
                landing_time = connection.execute(LANDING_TIME).fetchone()
                self._landing_time = _time(landing_time and landing_time[0])
                self._suppressed = self._read_suppressed(connection)
                yield
                connection.commit()
            except BaseException:
                self.close()  # which rolls back
                raise
            finally:
                self._landing_time = None

    def land(
        self, raw_orders: Sequence[RawOrder], dead_letters: Sequence[DeadLetter]
    ) -> LandedChunk:
        """Insert what is new and say what became of each message.

        A row that the database refuses becomes a dead letter, and costs no other row.

        Raises:
            ServiceError: The database was lost.
        """
        messages = len(raw_orders) + len(dead_letters)
        with warehouse.translated_errors(self._where):
            refused: list[DeadLetter] = []
            if self._suppressed is not None:
                raw_orders, refused = self._suppressed.sift(raw_orders)
                dead_letters = self._suppressed.wiped(dead_letters)
            chunk = self._land_raw_orders(raw_orders, refused)
            chunk.landed.dead_letters = self._land_dead_letters([*dead_letters, *refused])
        chunk.landed.already_there = messages - chunk.landed.read
        return chunk

    def land_panes(self, panes: Sequence[Pane]) -> None:
        """Insert panes; one that is there already counts once.

        Raises:
            ServiceError: The database was lost.
        """
        with warehouse.translated_errors(self._where), self._opened().cursor() as cursor:
            time = self._time_of_transaction()
            cursor.executemany(INSERT_PANE, [(*pane, time) for pane in panes])

    def count_run(self, run_id: uuid.UUID, landed: Landed) -> None:
        """Add to what a run has counted.

        Raises:
            ServiceError: The database was lost.
        """
        with warehouse.translated_errors(self._where):
            self._opened().execute(
                _COUNT_RUN,
                (
                    landed.read,
                    landed.accepted,
                    landed.already_there,
                    landed.dead_letters.total(),
                    run_id,
                ),
            )

    def repair_windows(self, since: datetime) -> int:
        """Correct the windows of messages that came since then, where panes and bronze differ.

        Returns:
            How many panes of correction were written.

        Raises:
            ServiceError: The database was lost.
        """
        with self.transaction():
            wanted: Counter[tuple[datetime, LiveKey]] = Counter()
            for event_type, payload, publish_time in self._opened().execute(
                _FIRST_COPIES_SINCE, {"since": since}
            ):
                copy = FirstCopy(str(event_type), str(payload), _time(publish_time))
                wanted[live.window_start(copy.publish_time), live.key_of(copy)] += 1
            for start, event_type, state, status, events in self._opened().execute(
                _PANES_SINCE, {"since": since}
            ):
                key = LiveKey(str(event_type), _text(state), _text(status))
                wanted[_time(start), key] -= int(str(events))
            repair = f"repair {uuid.uuid4()}"
            panes = [
                live.pane(repair, start, key, missing)
                for (start, key), missing in wanted.items()
                if missing
            ]
            self.land_panes(panes)
        return len(panes)

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _land_raw_orders(
        self, raw_orders: Sequence[RawOrder], refused: list[DeadLetter]
    ) -> LandedChunk:
        """Land rows together; if one is refused, each half by itself, down to that row."""
        if not raw_orders:
            return LandedChunk(Landed(), Counter())
        try:
            with self._opened().transaction():  # a savepoint
                return self._copy_raw_orders(raw_orders)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(raw_orders) == 1:
                refused.append(_refusal(raw_orders[0], error))
                return LandedChunk(Landed(), Counter())
        half = len(raw_orders) // 2
        first = self._land_raw_orders(raw_orders[:half], refused)
        second = self._land_raw_orders(raw_orders[half:], refused)
        first.landed.add(second.landed)
        first.live_changes.update(second.live_changes)
        return first

    def _copy_raw_orders(self, raw_orders: Sequence[RawOrder]) -> LandedChunk:
        with self._opened().cursor() as cursor:
            cursor.execute("truncate incoming_raw_orders")
            with cursor.copy(f"copy incoming_raw_orders ({_RAW_ORDER_COLUMNS}) from stdin") as copy:
                copy.write("".join(map(copy_line, raw_orders)))
            # planned anew each time: a plan made for an empty table would be kept as it fills
            cursor.execute(
                _INSERT_RAW_ORDERS, {"landing_time": self._time_of_transaction()}, prepare=False
            )
            rows = cursor.fetchall()
        sent = {order.message_id: order for order in raw_orders}
        counted, replaced = [], []
        for _, message_id, *older in rows:
            if message_id is None:
                continue
            order = sent[str(message_id).partition("@")[0]]
            counted.append(FirstCopy(order.event_type, order.payload, order.publish_time))
            if older[0] is not None:
                replaced.append(FirstCopy(str(older[0]), str(older[1]), _time(older[2])))
        return LandedChunk(Landed(accepted=int(str(rows[0][0]))), live.count(counted, replaced))

    def _land_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> Counter[str]:
        if not dead_letters:
            return Counter()
        with self._opened().cursor() as cursor:
            cursor.execute("truncate incoming_dead_letters")
            with cursor.copy(
                f"copy incoming_dead_letters ({_DEAD_LETTER_COLUMNS}) from stdin"
            ) as copy:
                copy.write("".join(map(copy_line, dead_letters)))
            cursor.execute(
                _INSERT_DEAD_LETTERS, {"landing_time": self._time_of_transaction()}, prepare=False
            )
            return Counter(str(row[0]) for row in cursor)

    def _read_suppressed(
        self, connection: psycopg.Connection[tuple[object, ...]]
    ) -> SuppressionList | None:
        """The list of erased patients as of now; an erasure waits for the landing, or it for it."""
        rows = connection.execute("select subject_hash from pbm_ops.suppressed_subjects").fetchall()
        if not rows:
            return None
        if self._load_hasher is None:
            raise ConfigurationError(
                "Patients were erased here, and the key to recognise them is missing.",
                "Set PBM_SUPPRESSION_KEY to the key with which they were erased.",
            )
        return SuppressionList(frozenset(str(row[0]) for row in rows), self._load_hasher())

    def _time_of_transaction(self) -> datetime:
        if self._landing_time is None:
            raise RuntimeError("PostgresSink lands within a transaction() only")
        return self._landing_time

    def _opened(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._connection is None:
            self._connection = warehouse.connect(self._dsn, role=warehouse.LOADER)
            self._connection.execute(_CREATE_INCOMING)
            self._connection.commit()
        return self._connection


def copy_line(values: RawOrder | DeadLetter) -> str:
    """A row in the text format of ``COPY``, several times as fast as the driver writes it."""
    return "\t".join([_COPY_TEXTS.get(type(value), _json_text)(value) for value in values]) + "\n"


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\")
    return text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


# made once: `json.dumps` makes an encoder for each call that asks for sorted names
_encode = json.JSONEncoder(sort_keys=True).encode


def _json_text(value: object) -> str:
    return _escaped(_encode(value))


_COPY_TEXTS: Final[Mapping[type, Callable[[Any], str]]] = {
    str: _escaped,
    ErrorType: _escaped,
    int: str,
    datetime: datetime.isoformat,
    type(None): lambda _: "\\N",
}


# Windows are whole minutes of publish time; those are looked at that hold a copy of an event of
# which a message came since then.
_TOUCHED = """
touched as (

    select distinct date_trunc('minute', copies.publish_time, 'UTC') as window_start
    from pbm_bronze.raw_orders as recent
    inner join pbm_bronze.raw_orders as copies on recent.event_id = copies.event_id
    where recent.ingested_at >= %(since)s

)
"""
_FIRST_COPIES_SINCE = f"""
with {_TOUCHED}
select raw_orders.event_type, raw_orders.payload, raw_orders.publish_time
from pbm_bronze.raw_orders
inner join touched
    on date_trunc('minute', raw_orders.publish_time, 'UTC') = touched.window_start
where not exists (
    select from pbm_bronze.raw_orders as older
    where
        older.event_id = raw_orders.event_id
        and (older.publish_time, older.message_id collate "C")
        < (raw_orders.publish_time, raw_orders.message_id collate "C")
)
"""  # noqa: S608
_PANES_SINCE = f"""
with {_TOUCHED}
select window_start, event_type, state, status, sum(event_count)
from pbm_speed.live_order_metrics
inner join touched using (window_start)
group by window_start, event_type, state, status
"""  # noqa: S608


def _refusal(order: RawOrder, error: psycopg.Error) -> DeadLetter:
    # the error's details quote the row; its name and the constraint's do not
    cause = error.diag.constraint_name or error.diag.column_name or type(error).__name__
    return DeadLetter(
        order.message_id,
        base64.b64encode(order.payload.encode()).decode("ascii"),
        order.attributes,
        REFUSED,
        f"The warehouse refuses the row: {cause}.",
        order.publish_time,
    )


def _time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"a timestamp was expected, not {type(value).__name__}")
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value)
