"""The job's graph through Beam's real sinks into an emulator of BigQuery, over its REST interface.

The emulator proves the plumbing: requests, column types, what the client reads back. It is no proof
of what BigQuery itself accepts.
"""

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion import bigquery as sinks
from ingestion.events import DeadLetter, Message, Pseudonymiser, RawOrder
from ingestion.live import Pane
from tests.conftest import PROJECT_ROOT, clean_environment
from tests.ingestion.bigquery_graph import PROJECT, land, use_endpoint

KEY = "a test's own key, of 32 bytes or more"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a running emulator with the three tables."""
    from google.cloud import bigquery

    port, grpc_port = _free_ports()
    log = (tmp_path / "emulator.log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, str(PROJECT_ROOT / "tests" / "bqemulator_start.py"), "start"),
            *("--rest-port", str(port), "--grpc-port", str(grpc_port), "--project", PROJECT),
        ],
        env=clean_environment(),
        stdout=log,
        stderr=log,
        cwd=tmp_path,
    )
    try:
        _wait_for(port, process)
        use_endpoint(monkeypatch, f"http://127.0.0.1:{port}")
        opened = bigquery.Client()
        for table, schema in (
            ("pbm_bronze.raw_orders", sinks.schema_of(RawOrder, written_at="ingested_at")),
            ("pbm_bronze.dead_letter_orders", _dead_letters()),
            ("pbm_speed.live_order_metrics", sinks.schema_of(Pane, written_at="emitted_at")),
        ):
            opened.create_dataset(table.split(".")[0], exists_ok=True)
            fields = [bigquery.SchemaField.from_api_repr(field) for field in schema["fields"]]
            opened.create_table(bigquery.Table(f"{PROJECT}.{table}", schema=fields))
        yield opened
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def _dead_letters() -> dict[str, list[dict[str, str]]]:
    schema = sinks.schema_of(DeadLetter, written_at="failed_at")
    schema["fields"] += [
        {"name": "replay_count", "type": "INTEGER", "mode": "NULLABLE"},
        {"name": "replayed_at", "type": "TIMESTAMP", "mode": "NULLABLE"},
    ]
    return schema


def _free_ports() -> list[int]:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [one.getsockname()[1] for one in opened]
    for one in opened:
        one.close()
    return ports


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the emulator did not start")


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
