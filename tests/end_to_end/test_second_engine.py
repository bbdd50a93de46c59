"""The same graph on a second engine: a file on Dask leaves what the local loop leaves."""

import json
from pathlib import Path
from typing import Any

from tests.conftest import Platform, new_platform

ORDERS = "120"

BRONZE = (
    "select message_id, event_id, event_type, order_id, event_timestamp, patient_key,"
    " patient_key_version, schema_version, source_system, attributes::text, payload"
    " from pbm_bronze.raw_orders order by message_id"
)
DEAD_LETTERS = (
    "select message_id, payload_base64, attributes::text, error_type, error_message, replay_count"
    " from pbm_bronze.dead_letter_orders order by message_id"
)
# publish times differ: a file counts as published when it was handed over
PANES = (
    "select event_type, state, status, sum(event_count) from pbm_speed.live_order_metrics"
    " group by event_type, state, status order by event_type, state, status"
)
# of both tables the minute of the first copies
MINUTES = (
    "select date_trunc('minute', min(publish_time)), count(distinct event_id)"
    " from pbm_bronze.raw_orders group by date_trunc('minute', publish_time) order by 1"
)
WINDOWS = (
    "select window_start, sum(event_count) from pbm_speed.live_order_metrics"
    " group by window_start order by 1"
)


def on_dask(platform: Platform, file: Path) -> dict[str, Any]:
    result = platform.pbm("ingest", "--from", str(file), "--runner", "DaskRunner", "--json")
    summary = json.loads(result.stdout)
    assert isinstance(summary, dict)
    return summary


def test_a_backfill_on_dask_leaves_what_the_local_loop_leaves(
    services: dict[str, Any], platform: Platform, tmp_path: Path
) -> None:
    (tmp_path / "local").mkdir()
    local = new_platform(services, tmp_path / "local")
    file = tmp_path / "events.jsonl"
    platform.pbm(
        *("generate", "orders", "--orders", ORDERS, "--duplicates", "0.1"),
        *("--malformed", "0.05", "--shuffle", "--to", str(file)),
    )
    # blank lines have numbers and no messages; the last line has no end; ranges end in between
    lines = [line + b"\n" for line in file.read_bytes().splitlines()]
    file.write_bytes(b"\n \r\n".join([*lines[:2]]) + b"".join(lines[2:] * 4) + lines[0].rstrip())

    here, there = local.ingest(file), on_dask(platform, file)
    assert here["read"] > 4000, "more than one range"
    counted = ("read", "accepted", "already_there", "dead_letters")
    assert {name: there[name] for name in counted} == {name: here[name] for name in counted}
    assert platform.rows(BRONZE) == local.rows(BRONZE)
    assert platform.rows(DEAD_LETTERS) == local.rows(DEAD_LETTERS)
    assert platform.rows(PANES) == local.rows(PANES)
    assert platform.rows(WINDOWS) == platform.rows(MINUTES)
    logs = "".join(log.read_text() for log in (platform.home / "logs").glob("*"))
    assert "repaired live windows" not in logs, "the graph's own panes were short"

    again = on_dask(platform, file)
    assert (again["accepted"], again["already_there"]) == (0, there["read"])
    assert platform.rows(PANES) == local.rows(PANES)
