"""Dead letters as a workflow: what was refused and why, and sending it once more.

A replay publishes first and marks afterwards, some rows at a time: a failure loses no row and marks
none that was not published. A kill between the two leaves rows that the next replay publishes a
second time, which is harmless, because an event counts once.
"""

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple, Self, TypeVar

from psycopg.rows import class_row

from ingestion.events import ErrorType
from ingestion.sinks import REFUSED
from ingestion.suppression import ERASED
from pbm import warehouse
from pbm.errors import InputError

REASONS: Final = (*(reason.value for reason in ErrorType), REFUSED, ERASED)
"""Every reason of a dead letter: the contract's, the warehouse's own, and erasure."""

_Row = TypeVar("_Row")

Publish = Callable[[Iterable[tuple[bytes, Mapping[str, str]]]], list[str]]
"""Publishes ``(data, attributes)`` in one call and returns the new message ids in order."""

# One call to Pub/Sub is one commit: an answer that is lost leaves at most these to be sent again.
_ROWS_PER_CALL: Final = 500
_BYTES_PER_CALL: Final = 4_000_000


@dataclass(frozen=True)
class Selection:
    """Some of the dead letters; an empty condition does not restrict.

    Attributes:
        reasons: Of one of these reasons.
        message_ids: With one of these ids.
        is_replayed: Replayed before, or not.
    """

    reasons: Sequence[str] = ()
    message_ids: Sequence[str] = ()
    is_replayed: bool | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """For a statement with ``_SELECTED`` in it."""
        return {
            "reasons": list(self.reasons) or None,
            "message_ids": list(self.message_ids) or None,
            "is_replayed": self.is_replayed,
        }


_SELECTED: Final = """
    (cast(%(reasons)s as text[]) is null or error_type = any(%(reasons)s))
    and (cast(%(message_ids)s as text[]) is null or message_id = any(%(message_ids)s))
    and (cast(%(is_replayed)s as boolean) is null or (replay_count > 0) = %(is_replayed)s)
"""

# A row that this replay marks, or that fails again because of it, is later than its start.
_TO_REPLAY: Final = f"""
    {_SELECTED}
    and error_type <> '{ERASED}'
    and failed_at <= %(started)s
    and (replay_count = 0 or (%(again)s and replayed_at < %(started)s))
    and message_id <> all(%(refused)s)
"""
_TAKE: Final = f"""
select message_id, error_type, payload_base64, attributes
from pbm_bronze.dead_letter_orders
where {_TO_REPLAY}
order by failed_at, message_id
limit least(%(limit)s, {_ROWS_PER_CALL})
for update skip locked
"""  # noqa: S608  the values are parameters
_LEFT: Final = f"select count(*) from pbm_bronze.dead_letter_orders where {_TO_REPLAY}"  # noqa: S608


class ReasonCount(NamedTuple):
    """The dead letters of one reason.

    Attributes:
        error_type: The reason.
        dead_letters: How many.
        not_replayed: How many of them were never replayed.
        newest_failed_at: When the newest was refused.
    """

    error_type: str
    dead_letters: int
    not_replayed: int
    newest_failed_at: datetime


class Listed(NamedTuple):
    """A dead letter without anything that its source wrote."""

    message_id: str
    error_type: str
    error_message: str
    publish_time: datetime
    failed_at: datetime
    replay_count: int
    replayed_at: datetime | None


class Replay(NamedTuple):
    """A replay of a dead letter: its own message, and where that is now.

    Attributes:
        message_id: The message's own id.
        replayed_at: When it was published.
        outcome: ``accepted`` into bronze, ``refused`` once more, or ``on its way``.
    """

    message_id: str
    replayed_at: datetime
    outcome: str


_BY_REASON: Final = f"""
select
    error_type,
    count(*) as dead_letters,
    count(*) filter (where replay_count = 0) as not_replayed,
    max(failed_at) as newest_failed_at
from pbm_bronze.dead_letter_orders
where {_SELECTED}
group by error_type
order by dead_letters desc, error_type
"""  # noqa: S608  the values are parameters
_NEWEST: Final = f"""
select {", ".join(Listed._fields)}
from pbm_bronze.dead_letter_orders
where {_SELECTED}
order by failed_at desc, message_id
limit %(limit)s
"""  # noqa: S608
_REPLAYS_OF: Final = """
select
    replays.message_id,
    replays.replayed_at,
    case
        when raw_orders.message_id is not null then 'accepted'
        when dead_letter_orders.message_id is not null then 'refused'
        else 'on its way'
    end as outcome
from pbm_ops.replays
left join pbm_bronze.raw_orders using (message_id)
left join pbm_bronze.dead_letter_orders using (message_id)
where replays.replay_of = %(id)s
order by replays.replayed_at
"""


@dataclass(frozen=True)
class Full:
    """A dead letter with all that is known of it. Its payload may name a patient."""

    listed: Listed
    attributes: dict[str, str]
    payload: bytes
    replays: list[Replay]


@dataclass
class Replayed:
    """What a replay did.

    Attributes:
        by_reason: Messages republished, by the reason of their dead letter.
        refused: Ids of dead letters that Pub/Sub itself does not take, and that stay as they are.
        held: How many another replay that runs now has taken over.
    """

    by_reason: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    held: int = 0


class DeadLetters:
    """The dead letters of a warehouse, on one connection that is closed at the end of ``with``.

    Args:
        dsn: Connection string of the warehouse.

    Raises:
        ServiceError: The database does not answer; every method raises it when it is lost.
    """

    def __init__(self, dsn: str) -> None:
        self._where = warehouse.describe(dsn)
        self._connection = warehouse.connect(dsn, role=warehouse.LOADER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def by_reason(self, selection: Selection) -> list[ReasonCount]:
        """Count the selected dead letters by reason, the most frequent first."""
        return self._fetch(ReasonCount, _BY_REASON, selection.parameters)

    def newest(self, selection: Selection, limit: int) -> list[Listed]:
        """The selected dead letters, the newest first, ``limit`` of them at most."""
        return self._fetch(Listed, _NEWEST, {**selection.parameters, "limit": limit})

    def find(self, message_id: str) -> Full:
        """Everything about one.

        Raises:
            InputError: There is none with that id.
        """
        self.require([message_id])
        (listed,) = self.newest(Selection(message_ids=[message_id]), 1)
        with warehouse.translated_errors(self._where):
            row = self._connection.execute(
                "select attributes, payload_base64 from pbm_bronze.dead_letter_orders"
                " where message_id = %s",
                (message_id,),
            ).fetchone()
        attributes, payload = row if row is not None else ({}, "")
        replays = self._fetch(Replay, _REPLAYS_OF, {"id": message_id})
        return Full(
            listed,
            dict(attributes) if isinstance(attributes, Mapping) else {},
            base64.b64decode(str(payload)),
            replays,
        )

    def require(self, message_ids: Sequence[str]) -> None:
        """Check that there is a dead letter for each id.

        Raises:
            InputError: One is missing; it names the first.
        """
        known = {
            row.message_id
            for row in self.newest(Selection(message_ids=message_ids), len(message_ids))
        }
        missing = [message_id for message_id in message_ids if message_id not in known]
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise InputError(
                f"There is no dead letter with the id {missing[0]!r}{others}.",
                "`pbm dead-letters list` shows the ids of the newest; --limit shows more.",
            )

    def replay(
        self,
        selection: Selection,
        publish: Publish,
        *,
        again: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Replayed:
        """Publish the selected dead letters as they were received, and mark them.

        Those that fail again while this runs are new dead letters, and not taken up by it. Two
        replays at once share the work: none waits for a row of the other, or sends it too.

        Args:
            selection: Which.
            publish: Sends one call of messages.
            again: Also those that were replayed before this began.
            progress: Called after each call with how many were republished so far.

        Raises:
            ServiceError: Pub/Sub or the database was lost. What was marked was published; of the
                rest, one call's messages may have been published and not marked.
        """
        replayed = Replayed()
        one_by_one = 0
        parameters = {**selection.parameters, "again": again, "started": self._now()}
        while True:
            with warehouse.translated_errors(self._where):
                parameters |= {"refused": replayed.refused, "limit": 1 if one_by_one else None}
                rows = self._connection.execute(_TAKE.encode(), parameters).fetchall()
                call = _one_call(rows)
                if not call:
                    self._connection.rollback()
                    replayed.held = self._count(_LEFT, parameters)
                    return replayed
                one_by_one = max(0, one_by_one - 1)
                try:
                    new_ids = publish([(letter.data, letter.attributes) for letter in call])
                except InputError:
                    # one of them is at fault: each by itself, so that it costs no other
                    self._connection.rollback()
                    if len(call) == 1:
                        replayed.refused.append(call[0].message_id)
                    else:
                        one_by_one = len(call)
                    continue
                self._mark([letter.message_id for letter in call], new_ids)
                self._connection.commit()
            replayed.by_reason.update(letter.error_type for letter in call)
            progress(replayed.by_reason.total())

    def _mark(self, message_ids: list[str], new_ids: list[str]) -> None:
        self._connection.execute(
            "update pbm_bronze.dead_letter_orders"
            " set replay_count = replay_count + 1, replayed_at = clock_timestamp()"
            " where message_id = any(%s)",
            (message_ids,),
        )
        # an emulator that was started anew gives out ids that it gave before
        self._connection.execute(
            "insert into pbm_ops.replays (message_id, replay_of)"
            " select * from unnest(cast(%s as text[]), cast(%s as text[]))"
            " on conflict (message_id) do update"
            " set replay_of = excluded.replay_of, replayed_at = excluded.replayed_at",
            (new_ids, message_ids),
        )

    def _now(self) -> datetime:
        with warehouse.translated_errors(self._where):
            row = self._connection.execute("select clock_timestamp()").fetchone()
            self._connection.rollback()
        if row is None or not isinstance(row[0], datetime):
            raise TypeError("the database did not tell the time")
        return row[0]

    def _count(self, statement: str, parameters: Mapping[str, Any]) -> int:
        row = self._connection.execute(statement.encode(), parameters).fetchone()
        self._connection.rollback()
        return 0 if row is None else int(str(row[0]))

    def _fetch(self, kind: type[_Row], statement: str, parameters: Mapping[str, Any]) -> list[_Row]:
        with (
            warehouse.translated_errors(self._where),
            self._connection.cursor(row_factory=class_row(kind)) as cursor,
        ):
            rows = cursor.execute(statement.encode(), parameters).fetchall()
            self._connection.rollback()
        return rows


class _Taken(NamedTuple):
    message_id: str
    error_type: str
    data: bytes
    attributes: Mapping[str, str]


def _one_call(rows: Sequence[tuple[object, ...]]) -> list[_Taken]:
    """The first rows, as many as one call to Pub/Sub takes; the rest is taken up again."""
    call: list[_Taken] = []
    size = 0
    for message_id, error_type, payload_base64, attributes in rows:
        data = base64.b64decode(str(payload_base64))
        size += len(data)
        if call and size > _BYTES_PER_CALL:
            break
        known = attributes if isinstance(attributes, Mapping) else {}
        call.append(_Taken(str(message_id), str(error_type), data, known))
    return call
