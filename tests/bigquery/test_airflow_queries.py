"""What Airflow's tasks ask the warehouse, in BigQuery's words, run by ZetaSQL."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestration import arrivals, maintenance
from orchestration.arrivals import Arrived, Published
from tests.bigquery.zetasql_engine import Table, ZetaSql

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PUBLISHED = Published("0123456789", events=3, malformed=2, started_at=NOW.isoformat())


def tables() -> dict[str, Table]:
    ours, other = "EV-0123456789-", "EV-9876543210-"
    raw = [
        (f"{ours}1", NOW),
        (f"{ours}1", NOW),  # a duplicate counts once
        (f"{ours}2", NOW),
        (f"{ours}3", NOW - timedelta(days=9)),  # before it was published
        (f"{other}1", NOW),
    ]
    dead = [
        ("m1", "not_json", json.dumps({"event_id": f"{ours}4"}), NOW, 0),
        ("m2", "not_utf8", json.dumps({"event_id": f"{other}5"}), NOW, 1),
        ("m3", "not_utf8", json.dumps({}), NOW, 0),
    ]
    return {
        "p.pbm_bronze.raw_orders": Table.of(
            {"event_id": "STRING", "ingested_at": "TIMESTAMP"}, raw
        ),
        "p.pbm_bronze.dead_letter_orders": Table.of(
            {
                "message_id": "STRING",
                "error_type": "STRING",
                "attributes": "JSON",
                "failed_at": "TIMESTAMP",
                "replay_count": "INT64",
            },
            dead,
        ),
        "p.pbm_silver.stg_order_events": Table.of({"event_id": "STRING"}, [(f"{ours}1",)]),
        "p.pbm_gold.order_alerts": Table.of(
            {
                "order_id": "STRING",
                "severity": "STRING",
                "alert_type": "STRING",
                "overdue_hours": "NUMERIC",
            },
            [],
        ),
    }


def rows(engine: ZetaSql, query: str) -> list[tuple[Any, ...]]:
    found = tables()
    for name in found:
        query = query.replace(name.removeprefix("p."), f"`{name}`")
    return engine.execute(query, found).rows


def test_what_has_arrived_is_counted_by_its_generation(engine: ZetaSql) -> None:
    (row,) = rows(engine, arrivals.query(PUBLISHED, "gcpbigquery", with_silver=True))
    arrived = Arrived(*row)
    assert arrived == Arrived(events=2, refused=1, built=1)
    assert arrived.missing(PUBLISHED) == (
        "1 of 3 events are not in bronze and 1 of 2 malformed messages are no dead letters"
    )


def test_dead_letters_are_counted_by_reason(engine: ZetaSql) -> None:
    assert rows(engine, maintenance.DEAD_LETTERS) == [("not_json", 1, 1), ("not_utf8", 2, 1)]


def test_alerts_can_be_asked_for(engine: ZetaSql) -> None:
    assert rows(engine, maintenance.ALERTS) == []


@pytest.mark.parametrize(
    ("arrived", "missing"),
    [
        (Arrived(3, 2), None),
        (Arrived(4, 5), None),
        (Arrived(0, 2), "3 of 3 events are not in bronze"),
        (Arrived(3, 0), "2 of 2 malformed messages are no dead letters"),
    ],
)
def test_what_is_missing_is_said_in_words(arrived: Arrived, missing: str | None) -> None:
    assert arrived.missing(PUBLISHED) == missing


def test_a_namespace_that_is_none_is_no_part_of_a_query() -> None:
    with pytest.raises(ValueError, match="namespace"):
        arrivals.query(Published("' or 1=1 --", 1, 0, NOW.isoformat()), "postgres")
