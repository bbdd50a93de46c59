"""Messages by the contract, the emulator's topic, and errors, for the tests of ingestion."""

import json
import subprocess
from typing import Any

import pytest

from pbm import pubsub
from pbm.settings import Settings
from tests.conftest import Platform

BAD_LINES = {
    b"\xff": "not_utf8",
    b'{"event_id": NaN}': "not_json",
    b"[]": "not_an_object",
    b'{"a": "\\u0000"}': "unsupported_text",
    b"{}": "missing_field",
    b'{"event_id":1,"event_type":"t","event_timestamp":"t","order_id":"o"}': "invalid_field",
    b'{"event_id":"1","event_type":"t","event_timestamp":"t","order_id":"o"}': "unknown_event_type",
    b'{"event_id":"1","event_type":"order_shipped","event_timestamp":"t","order_id":"o"}': (
        "invalid_timestamp"
    ),
}


def event(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"event-{number}",
        "event_type": "Order Placed",
        "event_timestamp": "2026-03-01T09:03:22.1234567-05:00",
        "order_id": f"order-{number // 4}",
        "source_system": "order_management",
        "data": {"patient": {"patient_id": " pt-1 ", "first_name": "Zoë 🙂"}},
        **changes,
    }


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(e, ensure_ascii=False).encode() + b"\n" for e in events)


def prepare_pubsub(platform: Platform) -> Settings:
    settings = Settings(
        home=platform.home,
        pubsub_emulator_host=platform.env["PUBSUB_EMULATOR_HOST"],
        google_cloud_project=platform.env["GOOGLE_CLOUD_PROJECT"],
    )
    pubsub.ensure_topic_and_subscription(platform.env["PUBSUB_EMULATOR_HOST"], settings)
    return settings


def publish(
    platform: Platform, messages: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    from ingestion.publisher import OrdersPublisher

    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", platform.env["PUBSUB_EMULATOR_HOST"])
    topic = prepare_pubsub(platform).topic_path
    return OrdersPublisher(topic).publish((data, {"sent_by": "a test"}) for data in messages)


def assert_error(result: subprocess.CompletedProcess[str], code: int, *fragments: str) -> None:
    assert result.returncode == code, result.stdout + result.stderr
    text = " ".join(result.stderr.split())
    assert "Traceback" not in text
    assert "what to do:" in text
    for fragment in fragments:
        assert fragment in text
