"""BigQuery's tables in this process's memory, behind the job's own graph."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import apache_beam as beam

ROWS: dict[str, list[dict[str, Any]]] = {}
REFUSED_EVENTS: set[str] = set()


def reset() -> None:
    ROWS.clear()
    REFUSED_EVENTS.clear()


def rows(table: str) -> list[dict[str, Any]]:
    return ROWS.get(table, [])


def live_counts() -> Counter[tuple[str, str, str | None, str | None]]:
    """What a reader of the live table sees: panes added up, each once."""
    panes = {row["pane_id"]: row for row in rows("live_order_metrics")}
    counts: Counter[tuple[str, str, str | None, str | None]] = Counter()
    for pane in panes.values():
        key = (pane["window_start"], pane["event_type"], pane["state"], pane["status"])
        counts[key] += pane["event_count"]
    return Counter({key: count for key, count in counts.items() if count})


def bronze_counts() -> Counter[str]:
    """Events of bronze by the minute of their first copy."""
    first: dict[str, tuple[str, str]] = {}
    for row in rows("raw_orders"):
        copy = (row["publish_time"], row["message_id"])
        first[row["event_id"]] = min(copy, first.get(row["event_id"], copy))
    return Counter(published[:16] for published, _ in first.values())


def counts_by_minute() -> Counter[str]:
    counts: Counter[str] = Counter()
    for (start, *_), count in live_counts().items():
        counts[start[:16]] += count
    return counts


class Insert(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    def __init__(self, table: str) -> None:
        self._table = table

    def process(self, element: dict[str, Any]) -> Any:
        if element.get("event_id") in REFUSED_EVENTS:
            yield self._table, element, [{"reason": "invalid", "message": "secret value"}]
        else:
            ROWS.setdefault(self._table, []).append(element)


class MemoryTable(beam.PTransform):  # type: ignore[misc]  # Beam has no types
    """Stands for Beam's sink of one table."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self._table = table.rpartition(".")[2]

    def expand(self, rows: beam.PCollection) -> Any:
        return SimpleNamespace(failed_rows_with_errors=rows | beam.ParDo(Insert(self._table)))


def write(table: str, _schema: object, _method: str) -> MemoryTable:
    return MemoryTable(table)
