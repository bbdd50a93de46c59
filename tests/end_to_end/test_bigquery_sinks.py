"""The job's graph through Beam's real sinks into an emulator of BigQuery, over its REST interface.

The emulator proves the plumbing: requests, column types, what the client reads back. It is no proof
of what BigQuery itself accepts.
"""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion.events import Message, Pseudonymiser
from tests.bigquery_emulator import create_tables, emulator
from tests.ingestion.bigquery_graph import PROJECT, land, use_endpoint

KEY = "a test's own key, of 32 bytes or more"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a running emulator with the three tables."""
    from google.cloud import bigquery

    with emulator(tmp_path, PROJECT) as endpoint:
        use_endpoint(monkeypatch, endpoint)
        opened = bigquery.Client()
        create_tables(opened)
        yield opened


def message(number: int, copy: int = 0) -> Message:
    event = {
        "event_id": f"event-{number}",
        "event_type": "Order Placed",
        "event_timestamp": "2026-03-01T09:03:22.1234567-05:00",
        "order_id": f"order-{number // 4}",
        "data": {"patient": {"patient_id": "pt-1", "first_name": "Zoë 🙂", "state": "ny"}},
    }
    data = json.dumps(event, ensure_ascii=False).encode()
    published = NOON + timedelta(seconds=number, microseconds=7)
    return Message(f"m-{number}-{copy}", data, {"sent by": 'a "test"'}, published)


def test_the_streaming_sinks_land_every_message_in_bigquery(client: Any) -> None:
    good = [message(number) for number in range(90)]
    again = [message(number, copy=1) for number in range(5)]
    bad = Message("m-bad", b"\xff", {"a": "b"}, NOON)
    land([*good, bad, *again], KEY)

    rows = [dict(row) for row in client.list_rows(f"{PROJECT}.pbm_bronze.raw_orders")]
    assert Counter(row["message_id"] for row in rows) == Counter(
        one.message_id for one in good + again
    )
    row = next(row for row in rows if row["message_id"] == "m-3-0")
    assert row["payload"] == message(3).data.decode()
    assert row["publish_time"] == message(3).publish_time
    assert row["event_timestamp"] == datetime(2026, 3, 1, 14, 3, 22, 123456, tzinfo=UTC)
    assert row["patient_key"] == Pseudonymiser(KEY, 1).key_for("PT-1")
    assert (row["patient_key_version"], row["schema_version"]) == (1, 1)
    attributes = row["attributes"]
    assert (json.loads(attributes) if isinstance(attributes, str) else attributes) == {
        "sent by": 'a "test"'
    }

    letters = [dict(row) for row in client.list_rows(f"{PROJECT}.pbm_bronze.dead_letter_orders")]
    assert [(row["message_id"], row["error_type"], row["payload_base64"]) for row in letters] == [
        ("m-bad", "not_utf8", "/w==")
    ]

    panes = [dict(row) for row in client.list_rows(f"{PROJECT}.pbm_speed.live_order_metrics")]
    counts: Counter[datetime] = Counter()
    for pane in panes:
        assert (pane["event_type"], pane["state"], pane["status"]) == ("order_placed", "NY", None)
        counts[pane["window_start"]] += pane["event_count"]
    assert counts == {NOON: 60, NOON + timedelta(minutes=1): 30}
