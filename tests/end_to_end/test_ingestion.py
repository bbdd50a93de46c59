"""The Beam job on a real PostgreSQL and Google's emulator: nothing lost, nothing double."""

import base64
import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from ingestion.events import Pseudonymiser
from ingestion.sinks import _CREATE_INCOMING, _INSERT_RAW_ORDERS
from tests.conftest import PBM, Platform, run_pbm
from tests.end_to_end.messages import (
    BAD_LINES,
    assert_error,
    event,
    lines,
    prepare_pubsub,
    publish,
)


def test_an_accepted_message_is_kept_as_received(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(event(1, source_system={"a": [1]}, schema_version=2)))
    assert platform.ingest(file)["accepted"] == 1
    row = platform.rows(
        "select event_id, event_type, order_id, event_timestamp, schema_version, source_system,"
        " attributes::text, payload, patient_key, patient_key_version,"
        " ingested_at between publish_time and now() from pbm_bronze.raw_orders"
    )
    key = Pseudonymiser(platform.env["PBM_PSEUDONYM_KEY"], 1).key_for("PT-1")
    assert row == [
        (
            "event-1",
            "order_placed",
            "order-0",
            datetime(2026, 3, 1, 14, 3, 22, 123456, tzinfo=UTC),
            2,
            '{"a": [1]}',
            "{}",
            file.read_text().removesuffix("\n"),
            key,
            1,
            True,
        )
    ]


def test_landing_looks_up_first_copies_by_their_index_while_statistics_are_missing(
    platform: Platform, tmp_path: Path
) -> None:
    """All lines of a file share a publish time: by the index of that, each would read them all."""
    platform.execute("alter table pbm_bronze.raw_orders set (autovacuum_enabled = false)")
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(*(event(number) for number in range(500))))
    platform.ingest(file)
    look_up = _INSERT_RAW_ORDERS.replace("%(landing_time)s", "now()")
    with psycopg.connect(platform.dsn) as connection:
        connection.execute(_CREATE_INCOMING)
        plan = "\n".join(str(row[0]) for row in connection.execute(f"explain {look_up}"))
    assert "raw_orders_first_copies" in plan
    assert "raw_orders_publish_time" not in plan


def test_every_reason_is_a_dead_letter_with_the_bytes_as_received(
    platform: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_bytes(b"\n".join(BAD_LINES) + b"\n" + lines(event(1)))
    summary = platform.ingest(file)
    assert summary["dead_letters"] == dict.fromkeys(sorted(BAD_LINES.values()), 1)
    assert (summary["read"], summary["accepted"]) == (len(BAD_LINES) + 1, 1)
    kept = platform.rows(
        "select payload_base64, error_type from pbm_bronze.dead_letter_orders order by message_id"
    )
    assert {base64.b64decode(data): reason for data, reason in kept} == BAD_LINES


def test_the_same_file_twice_changes_nothing(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(*(event(n) for n in range(20))) + b"nonsense\n")
    platform.ingest(file)
    query = (
        "select md5(string_agg(raw_orders::text, '' order by message_id))"
        " from pbm_bronze.raw_orders"
    )
    before = platform.value(query)
    again = platform.ingest(file)
    assert (again["read"], again["already_there"], again["accepted"]) == (21, 21, 0)
    assert again["dead_letters"] == {}
    assert platform.value(query) == before


def test_a_dead_letter_stays_one_when_its_timestamp_is_no_longer_ahead(
    platform: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(event(1)))
    platform.ingest(file)
    # as if the line had been refused when it was read first
    platform.execute(
        "insert into pbm_bronze.dead_letter_orders (message_id, payload_base64, attributes,"
        " error_type, error_message, publish_time)"
        " select message_id, '', '{}', 'invalid_timestamp', '', publish_time"
        " from pbm_bronze.raw_orders; delete from pbm_bronze.raw_orders"
    )
    assert platform.ingest(file)["already_there"] == 1
    assert platform.value("select count(*) from pbm_bronze.raw_orders") == 0


def test_pubsub_messages_keep_attributes_and_ids_and_odd_bytes(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(platform, [lines(event(1)), b"\x00\xff", b""], monkeypatch)
    summary = platform.ingest("pubsub")
    assert (summary["read"], summary["accepted"]) == (3, 1)
    assert summary["dead_letters"] == {"not_json": 1, "not_utf8": 1}
    assert platform.rows(
        "select message_id, attributes ->> 'sent_by' from pbm_bronze.raw_orders"
    ) == [(published[0], "a test")]
    assert platform.ingest("pubsub")["read"] == 0, "everything was acknowledged"


def test_an_emulator_that_counts_from_one_again_loses_nothing(platform: Platform) -> None:
    """Its message ids are numbers that start anew with every start; real Pub/Sub's never do."""
    from ingestion.events import Message, Pseudonymiser
    from ingestion.pipeline import check_chunk
    from ingestion.sinks import Landed, PostgresSink

    sink = PostgresSink(platform.dsn)

    def land(*messages: Message) -> Landed:
        with sink.transaction():
            return sink.land(*check_chunk(messages, Pseudonymiser("k" * 32, 1))).landed

    def messages(hour: int) -> list[Message]:
        at = datetime(2026, 3, 2, hour, tzinfo=UTC)
        good = Message("1", lines(event(hour)), {}, at)
        return [good, Message("2", b"poison %d" % hour, {}, at)]

    first = [*messages(1)]
    assert (land(*first).accepted, land(*first).already_there) == (1, 2)
    for hour in (2, 3):  # what was a dead letter's number is now an event's, and the reverse
        bad, good = (m._replace(message_id=str(i)) for i, m in enumerate(messages(hour)[::-1], 1))
        landed = land(bad, good)
        assert (landed.accepted, landed.dead_letters.total()) == (1, 1)
        assert land(good, bad).already_there == 2
    sink.close()
    assert platform.value("select count(distinct event_id) from pbm_bronze.raw_orders") == 3
    assert platform.value("select count(*) from pbm_bronze.dead_letter_orders") == 3


def test_an_attribute_with_a_nul_costs_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingestion.publisher import OrdersPublisher

    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", platform.env["PUBSUB_EMULATOR_HOST"])
    topic = prepare_pubsub(platform).topic_path
    OrdersPublisher(topic).publish([(lines(event(1)), {"odd": "a\x00b"}), (b"", {"odd": "\x00"})])
    summary = platform.ingest("pubsub")
    assert (summary["accepted"], summary["dead_letters"]) == (1, {"not_json": 1})


def start_drain(platform: Platform) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [PBM, "ingest", "--from", "pubsub", "--drain", "--batch-size", "500"],
        env=platform.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_drain_killed_halfway_loses_nothing_and_doubles_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = [lines(event(n)) for n in range(19_800)]
    bad = [f"poison {n}".encode() for n in range(200)]
    messages = [m for pair in zip(bad, (good[i::200] for i in range(200)), strict=True) for m in
                (pair[0], *pair[1])]  # fmt: skip
    published = set(publish(platform, messages, monkeypatch))
    assert len(published) == 20_000
    landed = "select count(*) from pbm_bronze.raw_orders"
    drain = start_drain(platform)
    deadline = time.monotonic() + 60
    while platform.value(landed) < 8_000:
        assert time.monotonic() < deadline
        assert drain.poll() is None, "the drain ended before it was killed"
        time.sleep(0.01)
    os.kill(drain.pid, signal.SIGKILL)
    drain.wait()
    half = platform.value(landed)
    assert half < 19_800, "the kill came too late to prove anything"

    platform.ingest("pubsub")
    bronze = [row[0] for row in platform.rows("select message_id from pbm_bronze.raw_orders")]
    dead = [row[0] for row in platform.rows("select message_id from pbm_bronze.dead_letter_orders")]
    assert len(bronze) == 19_800
    assert len(dead) == 200
    assert set(bronze) | set(dead) == published
    assert platform.ingest("pubsub")["read"] == 0, "nothing is left behind"


def test_follow_lands_what_comes_and_ends_at_sigterm(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_pubsub(platform)
    process = subprocess.Popen(
        [PBM, "ingest", "--from", "pubsub", "--follow", "--json"],
        env=platform.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        for number in range(3):
            publish(platform, [lines(event(number))], monkeypatch)
            deadline = time.monotonic() + 60
            while platform.value("select count(*) from pbm_bronze.raw_orders") <= number:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        process.terminate()
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert json.loads(output)["accepted"] == 3
    assert platform.value("select count(*) from pbm_ops.ingest_runs where ended_at is null") == 0


# -------------------------------------------------------------------- errors


def test_a_missing_file_is_named(platform: Platform) -> None:
    result = run_pbm("ingest", "--from", "/nowhere/x.jsonl", env=platform.env)
    assert_error(result, 3, "/nowhere/x.jsonl", "No such file")


def test_follow_of_a_file_is_refused(platform: Platform, tmp_path: Path) -> None:
    result = run_pbm("ingest", "--from", str(tmp_path), "--follow", env=platform.env)
    assert_error(result, 2, "--follow")


def test_an_unreachable_database_is_named(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(event(1)))
    env = {**platform.env, "PBM_POSTGRES_DSN": "postgresql://pbm@127.0.0.1:9/pbm"}
    assert_error(run_pbm("ingest", "--from", str(file), env=env), 4, "127.0.0.1:9", "pbm up")


def test_a_database_without_tables_is_sent_to_pbm_up(
    platform: Platform, services: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(lines(event(1)))
    bare = services["postgres_dsn"].rsplit("/", 1)[0] + "/template1"
    env = {**platform.env, "PBM_POSTGRES_DSN": bare}
    assert_error(run_pbm("ingest", "--from", str(file), env=env), 5, "template1", "pbm up")


def test_a_row_that_the_database_refuses_costs_no_other_and_is_not_quoted(
    platform: Platform, tmp_path: Path
) -> None:
    platform.execute(
        "alter table pbm_bronze.raw_orders add constraint no_secrets check (order_id !~ 'SECRET')"
    )
    file = tmp_path / "events.jsonl"
    bad = {37: {"order_id": "SECRET-1"}, 0: {"order_id": "SECRET-2"}}
    file.write_bytes(lines(*(event(n, **bad.get(n, {})) for n in range(100))))
    result = platform.pbm("ingest", "--from", str(file), "--verbose", "--json")
    summary = json.loads(result.stdout)
    assert summary["accepted"] == 98
    assert summary["dead_letters"] == {"refused_by_warehouse": 2}
    kept = platform.rows(
        "select convert_from(decode(payload_base64, 'base64'), 'utf8'), error_message"
        " from pbm_bronze.dead_letter_orders order by message_id"
    )
    received = file.read_text().splitlines()
    assert [payload for payload, _ in kept] == [received[0], received[37]]
    assert {message for _, message in kept} == {"The warehouse refuses the row: no_secrets."}
    logs = "".join(path.read_text() for path in (platform.home / "logs").iterdir())
    assert "SECRET" not in result.stderr + result.stdout + logs


def test_an_emulator_that_died_is_named(platform: Platform) -> None:
    env = {**platform.env, "PUBSUB_EMULATOR_HOST": "127.0.0.1:9"}
    result = run_pbm("ingest", "--from", "pubsub", env=env)
    assert_error(result, 4, "127.0.0.1:9", "does not answer")


def test_an_emulator_that_dies_in_the_middle_is_named(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stack of its own, so that its emulator can be killed."""
    env = {name: v for name, v in platform.env.items() if name != "PUBSUB_EMULATOR_HOST"}
    home = tmp_path / "doomed"
    env["PBM_HOME"] = str(home)
    up = run_pbm("up", "--json", env=env)
    assert up.returncode == 0, up.stderr
    try:
        platform.env["PUBSUB_EMULATOR_HOST"] = json.loads(up.stdout)["pubsub_emulator_host"]
        publish(platform, [lines(event(1))], monkeypatch)
        process = subprocess.Popen(
            [PBM, "ingest", "--from", "pubsub", "--follow"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while platform.value("select count(*) from pbm_bronze.raw_orders") < 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        psutil.Process(json.loads((home / "services.json").read_text())["emulator"]["pid"]).kill()
        output, errors = process.communicate(timeout=60)
        done = subprocess.CompletedProcess([], process.returncode, output, errors)
        assert_error(done, 4, "orders-topic-sub", "does not answer", "pbm up")
    finally:
        run_pbm("down", env=env)
