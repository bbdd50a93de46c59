"""Where checked messages go in BigQuery: the steps of the graph that write, with Beam's own sinks.

BigQuery has no transaction around a bundle and no unique keys, so a retry may append a row twice:
readers count a ``message_id`` and a ``pane_id`` once. Whether a copy of an event is its first is
not asked of the table but remembered by the job, for ``REMEMBERED``.
"""

import base64
import json
import logging
import types
import typing
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import apache_beam as beam
from apache_beam.coders import FastPrimitivesCoder
from apache_beam.io.gcp.bigquery import BigQueryDisposition, WriteToBigQuery
from apache_beam.io.gcp.bigquery_tools import RetryStrategy
from apache_beam.transforms import trigger, userstate, window
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.utils.timestamp import Timestamp

from ingestion import live
from ingestion.events import DeadLetter, RawOrder, live_labels
from ingestion.live import LiveKey, Pane
from ingestion.pipeline import CheckedChunk, live_change, report
from ingestion.sinks import REFUSED, Landed

STREAMING_INSERTS: Final = WriteToBigQuery.Method.STREAMING_INSERTS
STORAGE_WRITE_API: Final = WriteToBigQuery.Method.STORAGE_WRITE_API
WRITE_METHODS: Final = (STREAMING_INSERTS, STORAGE_WRITE_API)

REMEMBERED = timedelta(days=1)
"""How long after its publish time an event is recognised when it comes again.

Sources send again what an outage cost, within hours. Each remembered event takes some hundred
bytes of state: 200 events/s for a day are 17 million of them, about 2 GB for the whole job.
"""

ALLOWED_LATENESS = REMEMBERED + timedelta(days=1)
"""How long a window takes changes: while an earlier copy may still move an event to it, and more.

The watermark follows Pub/Sub's oldest message that is not acknowledged, so that a backlog makes
nothing late; only what is later than this would be missing from the live counts.
"""

PANE_SECONDS = 2
"""How long after a change a pane of its window is emitted; after the window's end, at once."""

_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_THE_ROW: Final = frozenset({"Unauthorized", "Forbidden", "Not Found"})
"""Why Beam's sink gives up on a whole request when the table is missing or may not be written."""


# ---------------------------------------------------------------------------------------------
# Rows
# ---------------------------------------------------------------------------------------------


def schema_of(
    row_type: type, *, written_at: str | None = None, json_type: str = "JSON"
) -> dict[str, list[dict[str, str]]]:
    """A table's schema, as Beam's sinks take it, from the tuple that is a row of it.

    Args:
        row_type: ``RawOrder``, ``DeadLetter`` or ``Pane``.
        written_at: A further column for when the row was written.
        json_type: What a mapping becomes. The Storage Write API takes JSON as ``STRING``.
    """
    names = {str: "STRING", int: "INTEGER", datetime: "TIMESTAMP"}
    fields = []
    for name, hint in typing.get_type_hints(row_type).items():
        kinds = set(typing.get_args(hint)) if isinstance(hint, types.UnionType) else {hint}
        (kind,) = kinds - {type(None)}
        fields.append(
            {
                "name": name,
                "type": names.get(kind, json_type),
                "mode": "NULLABLE" if type(None) in kinds else "REQUIRED",
            }
        )
    if written_at is not None:
        fields.append({"name": written_at, "type": "TIMESTAMP", "mode": "REQUIRED"})
    return {"fields": fields}


def row(values: RawOrder | DeadLetter | Pane, written_at: str) -> dict[str, Any]:
    """A row as ``insertAll`` takes it: timestamps in RFC 3339, attributes as JSON text.

    Args:
        values: What was checked or counted.
        written_at: The column that tells when the row was written.
    """
    cells = {name: _cell(value) for name, value in zip(values._fields, values, strict=True)}
    return {**cells, written_at: _cell(datetime.now(UTC))}


def _cell(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Mapping():
            return json.dumps(dict(value), sort_keys=True)
        case _:
            return value


def dead_letter_row(values: DeadLetter) -> dict[str, Any]:
    """A row of the dead letters: never replayed yet."""
    return {**row(values, "failed_at"), "replay_count": 0}


def refusal(refused: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The dead letter of a row of bronze that BigQuery refuses.

    Args:
        refused: The row as it was sent.
        reason: BigQuery's code for it. Its message is not repeated: it may quote a value.
    """
    return dead_letter_row(
        DeadLetter(
            refused["message_id"],
            base64.b64encode(refused["payload"].encode()).decode("ascii"),
            json.loads(refused["attributes"]),
            REFUSED,
            f"The warehouse refuses the row: {reason}.",
            datetime.fromisoformat(refused["publish_time"]),
        )
    )


def reason_of(errors: object) -> str:
    """BigQuery's code for what is wrong, and the column's name where it gives one.

    Raises:
        PermissionError: The table is missing or may not be written, which is not the row's fault.
            The runner tries again, and nothing is lost or refused meanwhile.
    """
    if not isinstance(errors, list):
        return "row too large" if "payload size" in str(errors) else "invalid"
    first = errors[0] if errors else {}
    reason = str(first.get("reason") or "invalid")
    if reason in _NOT_THE_ROW:
        raise PermissionError(f"BigQuery does not take rows of this job: {reason}.")
    column = str(first.get("location") or "")
    return f"{reason}, {column}" if column.isidentifier() else reason


# ---------------------------------------------------------------------------------------------
# Which copy of an event counts
# ---------------------------------------------------------------------------------------------


class Copy(NamedTuple):
    """A copy of an event, as the job remembers it; it holds nothing of the patient but the state.

    Attributes:
        published: Publish time, in microseconds of Unix time.
        message_id: The message's id.
        event_type: By what it counts, with ``state`` and ``status``.
        state: See ``event_type``.
        status: See ``event_type``.
        is_refused: True when this says that the warehouse refused the copy.
    """

    published: int
    message_id: str
    event_type: str
    state: str | None
    status: str | None
    is_refused: bool = False


class Memory(NamedTuple):
    """What is remembered of an event.

    Attributes:
        counted: The copy that counts.
        refused: Ids of the copies that the warehouse refused, which never count.
    """

    counted: Copy | None = None
    refused: tuple[str, ...] = ()


def copy_of(order: RawOrder, *, is_refused: bool = False) -> Copy:
    """What is remembered of an accepted message."""
    labels = live_labels(order.event_type, order.payload)
    published = (order.publish_time - _EPOCH) // _MICROSECOND
    return Copy(published, order.message_id, order.event_type, *labels, is_refused)


def remember(memory: Memory, copy: Copy) -> tuple[Memory, list[tuple[Copy, int]]]:
    """Take one more copy of an event into account, by the rule of ``ingestion.live``.

    Returns:
        What is remembered from now on, and how the counts change.
    """
    counted, refused = memory
    if copy.is_refused:
        refused = (*refused, copy.message_id)
        if counted is not None and counted.message_id == copy.message_id:
            return Memory(None, refused), [(counted, -1)]
        return Memory(counted, refused), []
    if copy.message_id in refused:
        return memory, []
    if counted is None:
        return Memory(copy, refused), [(copy, 1)]
    if copy[:2] < counted[:2]:
        return Memory(copy, refused), [(counted, -1), (copy, 1)]
    return memory, []


class CountFirstCopies(beam.DoFn):
    """``(event_id, copy)`` to changes of the live counts."""

    _MEMORY = userstate.ReadModifyWriteStateSpec("memory", FastPrimitivesCoder())
    _FORGET = userstate.TimerSpec("forget", TimeDomain.WATERMARK)

    def process(
        self,
        element: tuple[str, tuple[Any, ...]],
        memory: Any = beam.DoFn.StateParam(_MEMORY),  # noqa: ANN401, B008
        forget: Any = beam.DoFn.TimerParam(_FORGET),  # noqa: ANN401, B008
    ) -> Iterator[Any]:
        """One copy in; out come no, one or two changes, each in its minute's time."""
        copy = Copy(*element[1])
        before = memory.read()
        counted, refused = before or (None, ())
        after, changes = remember(Memory(counted and Copy(*counted), tuple(refused)), copy)
        memory.write((after.counted and tuple(after.counted), list(after.refused)))
        if before is None:
            forget.set(Timestamp(micros=copy.published) + REMEMBERED.total_seconds())
        for which, change in changes:
            start = live.window_start(_EPOCH + which.published * _MICROSECOND)
            key = LiveKey(which.event_type, which.state, which.status)
            yield live_change(start, key, change)

    @userstate.on_timer(_FORGET)  # type: ignore[untyped-decorator]
    def forget(self, memory: Any = beam.DoFn.StateParam(_MEMORY)) -> None:  # noqa: ANN401, B008
        """Forget an event."""
        memory.clear()


def live_windows() -> beam.WindowInto:
    """Minutes of publish time, with panes that a reader adds up as soon as there is something."""
    return beam.WindowInto(
        window.FixedWindows(live.WINDOW.total_seconds()),
        trigger=trigger.AfterWatermark(
            early=trigger.AfterProcessingTime(PANE_SECONDS), late=trigger.AfterCount(1)
        ),
        accumulation_mode=trigger.AccumulationMode.DISCARDING,
        allowed_lateness=ALLOWED_LATENESS.total_seconds(),
    )


# ---------------------------------------------------------------------------------------------
# The steps that write
# ---------------------------------------------------------------------------------------------


class BigQueryLanding:
    """The ``Landing`` for BigQuery. Its tables exist: infrastructure makes them, not a job.

    Args:
        project: Project of the tables.
        bronze: Dataset of ``raw_orders`` and ``dead_letter_orders``.
        speed: Dataset of ``live_order_metrics``.
        undeliverable: Takes the rows that not even the dead letters' table does: a message near
            Pub/Sub's limit of 10 MB is too large for a row once it is base64.
        method: One of ``WRITE_METHODS``.
        leave_out: Takes out of checked chunks what may not land; see ``LeaveOutErased``.
    """

    def __init__(
        self,
        project: str,
        bronze: str,
        speed: str,
        undeliverable: beam.PTransform,
        method: str = STREAMING_INSERTS,
        *,
        leave_out: beam.DoFn | None = None,
    ) -> None:
        self._leave_out = leave_out
        self._raw_orders = f"{project}:{bronze}.raw_orders"
        self._dead_letters = f"{project}:{bronze}.dead_letter_orders"
        self._panes = f"{project}:{speed}.live_order_metrics"
        self._undeliverable = undeliverable
        self._method = method

    def bronze(self) -> beam.PTransform:
        """See ``Landing``."""
        dead_letters = schema_of(DeadLetter, written_at="failed_at", json_type="STRING")
        dead_letters["fields"].append(
            {"name": "replay_count", "type": "INTEGER", "mode": "REQUIRED"}
        )
        return _LandBronze(
            write(
                self._raw_orders,
                schema_of(RawOrder, written_at="ingested_at", json_type="STRING"),
                self._method,
            ),
            write(self._dead_letters, dead_letters, self._method),
            self._undeliverable,
            self._method,
            self._leave_out,
        )

    def panes(self) -> beam.PTransform:
        """See ``Landing``."""
        return _LandPanes(
            write(self._panes, schema_of(Pane, written_at="emitted_at"), self._method), self._method
        )


def write(table: str, schema: dict[str, Any], method: str) -> WriteToBigQuery:
    """Beam's sink for a table that exists.

    Args:
        table: ``project:dataset.table``.
        schema: What the Storage Write API needs to know of the rows.
        method: One of ``WRITE_METHODS``.
    """
    common = {
        "table": table,
        "method": method,
        "create_disposition": BigQueryDisposition.CREATE_NEVER,
        "write_disposition": BigQueryDisposition.WRITE_APPEND,
    }
    if method == STORAGE_WRITE_API:
        # committed every second in streams that are exactly once
        return WriteToBigQuery(schema=schema, triggering_frequency=1, **common)
    # by default a row that can never be inserted is tried ten thousand times
    return WriteToBigQuery(insert_retry_strategy=RetryStrategy.RETRY_ON_TRANSIENT_ERROR, **common)


class _LandBronze(beam.PTransform):
    def __init__(
        self,
        raw_orders: beam.PTransform,
        dead_letters: beam.PTransform,
        undeliverable: beam.PTransform,
        method: str,
        leave_out: beam.DoFn | None,
    ) -> None:
        super().__init__()
        self._leave_out = leave_out
        self._raw_orders = raw_orders
        self._dead_letters = dead_letters
        self._undeliverable = undeliverable
        self._method = method

    def expand(self, chunks: beam.PCollection) -> beam.PCollection:
        if self._leave_out is not None:
            chunks = chunks | "Leave out who was erased" >> beam.ParDo(
                self._leave_out
            ).with_output_types(CheckedChunk)
        rows = chunks | "Make rows" >> beam.ParDo(_MakeRows()).with_outputs(
            "dead_letters", "copies", main="raw_orders"
        )
        refused = (
            _written(rows.raw_orders, "Raw orders", self._raw_orders, self._method)
            | "Refused raw orders" >> beam.ParDo(_Refuse()).with_outputs("copies", main="rows")
        )  # fmt: skip
        _ = (
            _written(
                (rows.dead_letters, refused.rows) | "All dead letters" >> beam.Flatten(),
                "Dead letters",
                self._dead_letters,
                self._method,
            )
            | "Refused dead letters" >> beam.ParDo(_GiveUp())
            | "Undeliverable" >> self._undeliverable
        )
        return (
            (rows.copies, refused.copies)
            | "All copies" >> beam.Flatten()
            | "Copies by event"
            >> beam.Map(lambda pair: pair).with_output_types(beam.typehints.KV[str, Any])
            | "Count first copies" >> beam.ParDo(CountFirstCopies())
        )


class _LandPanes(beam.PTransform):
    def __init__(self, table: beam.PTransform, method: str) -> None:
        super().__init__()
        self._table = table
        self._method = method

    def expand(self, panes: beam.PCollection) -> beam.PCollection:
        rows = panes | "Make pane rows" >> beam.Map(row, "emitted_at")
        return _written(rows, "Panes", self._table, self._method) | "Refused panes" >> beam.ParDo(
            _Raise()
        )


def _written(
    rows: beam.PCollection, name: str, table: beam.PTransform, method: str
) -> beam.PCollection:
    """Write rows; out come ``(row, errors)`` of those that are refused."""
    if method == STORAGE_WRITE_API:
        rows = rows | f"{name}: Beam's timestamps" >> beam.Map(_with_timestamps)
        return (rows | name >> table).failed_rows_with_errors | (
            f"{name}: refused" >> beam.Map(_refused_by_storage_api)
        )
    return (rows | name >> table).failed_rows_with_errors | (
        f"{name}: refused" >> beam.MapTuple(lambda _table, one, errors: (one, errors))
    )


_TIMES: Final = (
    *("event_timestamp", "publish_time", "ingested_at", "failed_at"),
    *("window_start", "window_end", "emitted_at"),
)


def _with_timestamps(cells: dict[str, Any]) -> dict[str, Any]:
    return {
        name: Timestamp.from_rfc3339(value) if name in _TIMES else value
        for name, value in cells.items()
    }


def _refused_by_storage_api(failed: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    cells = {
        name: value.to_rfc3339() if isinstance(value, Timestamp) else value
        for name, value in failed["failed_row"].items()
    }
    return cells, [{"reason": "invalid"}]


class _MakeRows(beam.DoFn):
    def setup(self) -> None:
        # Beam logs BigQuery's answer when a row is refused, and the answer may quote it
        logging.getLogger("apache_beam.io.gcp.bigquery").addFilter(quote_no_row)

    def process(self, element: CheckedChunk) -> Iterator[Any]:
        landed = Landed(accepted=len(element.raw_orders))
        for order in element.raw_orders:
            yield row(order, "ingested_at")
            yield beam.pvalue.TaggedOutput("copies", (order.event_id, tuple(copy_of(order))))
        for letter in element.dead_letters:
            landed.dead_letters[letter.error_type] += 1
            yield beam.pvalue.TaggedOutput("dead_letters", dead_letter_row(letter))
        report(landed)


def quote_no_row(record: logging.LogRecord) -> bool:
    """Cut a log record of Beam's sink before the errors that BigQuery gave, which quote values."""
    text = record.getMessage()
    if "Errors were" in text:
        record.msg, record.args = text.split("Errors were")[0] + "See the dead letters.", ()
    return True


class _Refuse(beam.DoFn):
    """Refused rows of bronze to dead letters, and to copies that do not count after all."""

    def process(self, element: tuple[dict[str, Any], object]) -> Iterator[Any]:
        refused, errors = element
        yield refusal(refused, reason_of(errors))
        published = datetime.fromisoformat(refused["publish_time"])
        copy = Copy(
            (published - _EPOCH) // _MICROSECOND,
            refused["message_id"],
            refused["event_type"],
            None,
            None,
            is_refused=True,
        )
        yield beam.pvalue.TaggedOutput("copies", (refused["event_id"], tuple(copy)))
        report(Landed(accepted=-1, dead_letters=Counter({REFUSED: 1})))


class _GiveUp(beam.DoFn):
    """Refused dead letters to rows for the last resort."""

    def process(self, element: tuple[dict[str, Any], object]) -> Iterator[dict[str, Any]]:
        refused, errors = element
        reason_of(errors)
        yield refused


class _Raise(beam.DoFn):
    """A pane has no values of anyone's making: a refusal is a fault, and the runner tries again."""

    def process(self, element: tuple[dict[str, Any], object]) -> None:
        raise RuntimeError(f"BigQuery refuses a live pane: {reason_of(element[1])}.")
