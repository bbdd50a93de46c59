"""Dead letters as a workflow, on a real PostgreSQL and Google's emulator."""

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest

from ingestion.dead_letters import DeadLetters, Selection
from pbm.errors import InputError, ServiceError
from tests.conftest import Platform, run_pbm
from tests.end_to_end.messages import (
    BAD_LINES,
    assert_error,
    event,
    lines,
    prepare_pubsub,
    publish,
)

MARKED = "select count(*) from pbm_bronze.dead_letter_orders where replay_count > 0"


@pytest.fixture
def refused(platform: Platform) -> Platform:
    """A platform with a dead letter of each of the contract's reasons."""
    prepare_pubsub(platform)
    for number, (data, reason) in enumerate(BAD_LINES.items(), start=100):
        insert(platform, number, data=data, reason=reason)
    return platform


def dead_letters(platform: Platform, *arguments: str) -> Any:
    return json.loads(platform.pbm("dead-letters", *arguments, "--json").stdout)


def insert(
    platform: Platform,
    number: int,
    *,
    data: bytes = b"x",
    reason: str = "not_json",
    has_attributes: bool = True,
) -> str:
    message_id = f"dead-{number:04d}"
    payload = base64.b64encode(data).decode()
    attributes = json.dumps({"n": str(number)} if has_attributes else {})
    platform.execute(
        "insert into pbm_bronze.dead_letter_orders (message_id, payload_base64, attributes,"
        f" error_type, error_message, publish_time) values ('{message_id}', '{payload}',"
        f" '{attributes}', '{reason}', 'x', now())"
    )
    return message_id


# -------------------------------------------------------------------- list and show


def test_list_counts_by_reason_and_names_the_newest(refused: Platform) -> None:
    everything = dead_letters(refused, "list")
    counts = {row["error_type"]: row["dead_letters"] for row in everything["by_reason"]}
    assert counts == dict.fromkeys(BAD_LINES.values(), 1)
    assert len(everything["dead_letters"]) == len(BAD_LINES)
    assert [row["failed_at"] for row in everything["dead_letters"]] == sorted(
        (row["failed_at"] for row in everything["dead_letters"]), reverse=True
    )
    two = dead_letters(refused, "list", "--reason", "not_json", "--reason", "not_utf8")
    assert {row["error_type"] for row in two["dead_letters"]} == {"not_json", "not_utf8"}
    assert {row["error_type"] for row in two["by_reason"]} == {"not_json", "not_utf8"}
    assert len(dead_letters(refused, "list", "--limit", "3")["dead_letters"]) == 3
    assert dead_letters(refused, "list", "--replayed")["by_reason"] == []


def test_no_payload_is_shown_unless_it_is_asked_for(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    payload = b'{"event_id": "SECRET [red] \xe2\x9c\x93 \x1b[31m"'
    file.write_bytes(payload + b"\n")
    platform.ingest(file)
    (row,) = dead_letters(platform, "list")["dead_letters"]
    name = row["message_id"]
    encoded = base64.b64encode(payload).decode()
    commands = ("list",), ("list", "--json"), ("show", name), ("show", name, "--json")
    for command in commands:
        shown = platform.pbm("dead-letters", *command)
        assert "SECRET" not in shown.stdout + shown.stderr
        assert encoded[:20] not in shown.stdout + shown.stderr
    shown = platform.pbm("dead-letters", "show", name, "--payload")
    assert r'{"event_id": "SECRET [red] ✓ \x1b[31m"' in shown.stdout
    assert "\x1b" not in shown.stdout, "a payload must not command the terminal"
    full = dead_letters(platform, "show", name, "--payload")
    assert base64.b64decode(full["payload_base64"]) == payload


def test_show_tells_everything_about_one(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    (message_id,) = publish(platform, [b"nonsense"], monkeypatch)
    platform.ingest("pubsub")
    full = dead_letters(platform, "show", message_id)
    assert full["message_id"] == message_id
    assert full["error_type"] == "not_json"
    assert full["attributes"] == {"sent_by": "a test"}
    assert (full["payload_bytes"], full["replay_count"], full["replays"]) == (8, 0, [])
    shown = platform.pbm("dead-letters", "show", message_id).stdout
    for fragment in (message_id, "not_json", "attribute sent_by: a test", "8 bytes"):
        assert fragment in shown


@pytest.mark.parametrize("command", [("show",), ("replay", "--id")])
@pytest.mark.parametrize("name", ["nobody", "x' or '1'='1", "[bold]%s{}", "'; drop table x; --"])
def test_an_id_that_is_not_there_is_named(
    refused: Platform, command: tuple[str, ...], name: str
) -> None:
    result = run_pbm("dead-letters", *command, name, env=refused.env)
    assert_error(result, 3, "no dead letter", repr(name)[1:-1], "dead-letters list")
    assert refused.value(MARKED) == 0
    assert refused.value("select count(*) from pbm_bronze.dead_letter_orders") == len(BAD_LINES)


def test_a_reason_that_is_none_is_refused(refused: Platform) -> None:
    result = run_pbm("dead-letters", "replay", "--reason", "not_jsn", env=refused.env)
    assert_error(result, 2, "not_jsn", "not_json")


# -------------------------------------------------------------------- replay


def test_what_is_accepted_after_its_cause_is_gone_joins_the_rest(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.execute(
        "alter table pbm_bronze.raw_orders add constraint passing check (order_id <> 'order-0')"
    )
    good = [lines(event(number)) for number in range(6)]  # four of them of order-0
    first_ids = publish(platform, [*good, b"nonsense"], monkeypatch)
    assert platform.ingest("pubsub")["dead_letters"] == {"refused_by_warehouse": 4, "not_json": 1}
    platform.execute("alter table pbm_bronze.raw_orders drop constraint passing")

    done = dead_letters(platform, "replay", "--reason", "refused_by_warehouse")
    assert (done["republished"], done["by_reason"]) == (4, {"refused_by_warehouse": 4})
    full = dead_letters(platform, "show", first_ids[0])
    assert [replay["outcome"] for replay in full["replays"]] == ["on its way"]
    assert platform.ingest("pubsub")["accepted"] == 4

    rows = platform.rows(
        "select event_id, payload, attributes ->> 'sent_by', message_id"
        " from pbm_bronze.raw_orders order by event_id"
    )
    assert [row[1].encode() for row in rows] == good, "the same bytes"
    assert {row[2] for row in rows} == {"a test"}, "the same attributes"
    assert not {row[3] for row in rows[:4]} & set(first_ids), "as new messages"
    assert platform.value("select sum(event_count) from pbm_speed.live_order_metrics") == 6
    full = dead_letters(platform, "show", first_ids[0])
    assert [replay["outcome"] for replay in full["replays"]] == ["accepted"]
    assert full["replay_count"] == 1
    assert full["replayed_at"] is not None
    assert platform.value(MARKED) == 4, "the dead letter of another reason is untouched"


def test_a_replay_without_a_filter_takes_each_once(
    refused: Platform,
) -> None:
    assert dead_letters(refused, "replay", "--dry-run")["would_republish"] == len(BAD_LINES)
    assert refused.value(MARKED) == 0
    assert dead_letters(refused, "replay")["republished"] == len(BAD_LINES)
    second = dead_letters(refused, "replay")
    assert (second["republished"], second["replayed_before"]) == (0, len(BAD_LINES))
    assert dead_letters(refused, "replay", "--again")["republished"] == len(BAD_LINES)
    assert refused.value("select sum(replay_count) from pbm_bronze.dead_letter_orders") == 16
    # what is still malformed is a dead letter of its own, with the same bytes
    again = refused.ingest("pubsub")
    assert again["dead_letters"] == dict.fromkeys(sorted(BAD_LINES.values()), 2)
    kept = Counter(
        base64.b64decode(row[0])
        for row in refused.rows("select payload_base64 from pbm_bronze.dead_letter_orders")
    )
    assert kept == dict.fromkeys(BAD_LINES, 3)
    listed = dead_letters(refused, "list", "--not-replayed")
    assert sum(row["dead_letters"] for row in listed["by_reason"]) == 16


def test_ids_choose_what_is_replayed(refused: Platform) -> None:
    ids = [row["message_id"] for row in dead_letters(refused, "list")["dead_letters"]]
    chosen = dead_letters(refused, "replay", "--id", ids[0], "--id", ids[1], "--id", ids[0])
    assert chosen["republished"] == 2
    marked = refused.rows(
        "select message_id from pbm_bronze.dead_letter_orders where replay_count > 0"
    )
    assert {row[0] for row in marked} == set(ids[:2])


def test_one_missing_id_replays_none_of_the_others(refused: Platform) -> None:
    name = dead_letters(refused, "list")["dead_letters"][0]["message_id"]
    result = run_pbm("dead-letters", "replay", "--id", name, "--id", "nobody", env=refused.env)
    assert_error(result, 3, "nobody")
    assert refused.value(MARKED) == 0


def test_an_emulator_that_is_away_marks_nothing(refused: Platform) -> None:
    env = {**refused.env, "PUBSUB_EMULATOR_HOST": "127.0.0.1:9"}
    before = refused.rows("select * from pbm_bronze.dead_letter_orders order by message_id")
    result = run_pbm("dead-letters", "replay", env=env)
    assert_error(result, 4, "127.0.0.1:9", "does not answer")
    assert refused.rows("select * from pbm_bronze.dead_letter_orders order by message_id") == before
    assert refused.value("select count(*) from pbm_ops.replays") == 0


def test_a_topic_that_is_missing_marks_nothing(refused: Platform) -> None:
    env = {**refused.env, "PBM_ORDERS_TOPIC": "another-topic"}
    result = run_pbm("dead-letters", "replay", env=env)
    assert_error(result, 4, "another-topic", "pbm up")
    assert refused.value(MARKED) == 0


class Topic:
    """A topic in memory; ``fail_at`` is the number of the call that fails."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.messages: list[tuple[bytes, Mapping[str, str]]] = []
        self.calls = 0
        self._fail_at = fail_at

    def publish(self, messages: Iterable[tuple[bytes, Mapping[str, str]]]) -> list[str]:
        self.calls += 1
        if self.calls == self._fail_at:
            raise ServiceError("Pub/Sub is away.", "Wait.")
        taken = list(messages)
        if any(data == b"too large" for data, _ in taken):
            raise InputError("Pub/Sub does not take it.", "Make it smaller.")
        first = len(self.messages)
        self.messages += taken
        return [f"new-{number}" for number in range(first, len(self.messages))]


def test_a_failure_halfway_marks_exactly_what_was_published(platform: Platform) -> None:
    for number in range(6):
        insert(platform, number, data=bytes(1_500_000))  # two in a call
    topic = Topic(fail_at=2)
    with DeadLetters(platform.dsn) as letters, pytest.raises(ServiceError):
        letters.replay(Selection(), topic.publish)
    assert [attributes["n"] for _, attributes in topic.messages] == ["0", "1"]
    marked = "select message_id from pbm_bronze.dead_letter_orders where replay_count > 0"
    assert {row[0] for row in platform.rows(marked)} == {"dead-0000", "dead-0001"}
    assert platform.rows("select message_id, replay_of from pbm_ops.replays order by 1") == [
        ("new-0", "dead-0000"),
        ("new-1", "dead-0001"),
    ]
    with DeadLetters(platform.dsn) as letters:
        done = letters.replay(Selection(), (rest := Topic()).publish)
    assert done.by_reason == {"not_json": 4}
    assert [attributes["n"] for _, attributes in rest.messages] == ["2", "3", "4", "5"]


def test_a_message_that_pubsub_does_not_take_costs_no_other(platform: Platform) -> None:
    for number in range(5):
        insert(platform, number, data=b"too large" if number in {1, 4} else b"x")
    topic = Topic()
    with DeadLetters(platform.dsn) as letters:
        done = letters.replay(Selection(), topic.publish)
    assert done.by_reason == {"not_json": 3}
    assert done.refused == ["dead-0001", "dead-0004"]
    assert platform.value(MARKED) == 3
    assert len(topic.messages) == 3


def test_a_message_that_the_real_service_does_not_take_is_named(refused: Platform) -> None:
    name = insert(refused, 1, data=b"", has_attributes=False)
    result = run_pbm("dead-letters", "replay", "--json", env=refused.env)
    assert_error(result, 3, name, "data or attributes")
    assert json.loads(result.stdout)["republished"] == len(BAD_LINES)
    assert refused.value(MARKED) == len(BAD_LINES)


def test_two_replays_at_once_share_the_work(platform: Platform) -> None:
    for number in range(8):
        insert(platform, number, data=bytes(3_000_000))  # one in a call
    both = Barrier(2, timeout=30)

    def replay(_: int) -> list[str]:
        topic = Topic()

        def publish(messages: Iterable[tuple[bytes, Mapping[str, str]]]) -> list[str]:
            if not topic.calls:
                both.wait()  # each holds a row that the other must not take
            topic.publish(messages)
            return [f"new-{attributes['n']}" for _, attributes in topic.messages[-1:]]

        with DeadLetters(platform.dsn) as letters:
            letters.replay(Selection(), publish)
        return [attributes["n"] for _, attributes in topic.messages]

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(replay, range(2))
    assert one
    assert other
    assert sorted(one + other) == [str(number) for number in range(8)]
    assert platform.value("select max(replay_count) from pbm_bronze.dead_letter_orders") == 1


def test_what_another_replay_holds_is_said_and_not_waited_for(platform: Platform) -> None:
    insert(platform, 1)
    holding, finish = Event(), Event()

    def slow(messages: Iterable[tuple[bytes, Mapping[str, str]]]) -> list[str]:
        holding.set()
        assert finish.wait(30)
        return [f"new-{number}" for number, _ in enumerate(messages)]

    with ThreadPoolExecutor(1) as thread, DeadLetters(platform.dsn) as slow_letters:
        running = thread.submit(slow_letters.replay, Selection(), slow)
        try:
            assert holding.wait(30)
            with DeadLetters(platform.dsn) as letters:
                done = letters.replay(Selection(), (topic := Topic()).publish)
        finally:
            finish.set()
        running.result()
    assert (done.held, topic.messages) == (1, [])


def test_a_replay_ends_although_its_messages_fail_again(platform: Platform) -> None:
    insert(platform, 0)
    number = 0

    def refuse(messages: Iterable[tuple[bytes, Mapping[str, str]]]) -> list[str]:
        nonlocal number
        number += 1
        assert number < 5, "it takes up what it has just published"
        insert(platform, number)  # as ingestion does that follows the topic
        return [f"new-{number}" for _ in messages]

    with DeadLetters(platform.dsn) as letters:
        done = letters.replay(Selection(), refuse, again=True)
    assert done.by_reason.total() == 1
