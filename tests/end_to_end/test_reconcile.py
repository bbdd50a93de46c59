"""Reconciliation, on a real PostgreSQL and Google's emulator: every difference is named."""

import dataclasses
import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql

from tests.conftest import Platform, new_platform, run_pbm
from tests.end_to_end.messages import assert_error, event, lines, prepare_pubsub, publish

KNOBS = ("--duplicates", "0.05", "--malformed", "0.02", "--shuffle")


def generate(platform: Platform, to: str | Path, *options: str) -> dict[str, Any]:
    words = ("--orders", "60", "--days", "10", *options, "--to", str(to), "--json")
    manifest = json.loads(platform.pbm("generate", "orders", *words).stdout)
    assert isinstance(manifest, dict)
    return manifest


def reconcile(platform: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_pbm("reconcile", *arguments, env=platform.env)


def report(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    answer = json.loads(result.stdout)
    assert isinstance(answer, dict)
    assert result.returncode == (0 if answer["ok"] else 1), result.stderr
    return answer


def differences(platform: Platform, *arguments: str) -> dict[str, str]:
    """The checks that do not hold, with how they differ in words."""
    answer = report(reconcile(platform, "--json", *arguments))
    return {check["name"]: check["difference"] for check in answer["checks"] if not check["ok"]}


@pytest.fixture(scope="module")
def ingested(services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Generated orders, published, ingested and built as silver."""
    platform = new_platform(services, tmp_path_factory.mktemp("ingested"))
    prepare_pubsub(platform)
    generate(platform, "pubsub", *KNOBS)
    platform.ingest("pubsub")
    kinds = ("--resource-type", "seed", "--resource-type", "model")
    platform.dbt("build", *kinds, "--select", "sparse_zip3s", "stg_order_events")
    return platform


_numbers = itertools.count(1)


@pytest.fixture
def copy(ingested: Platform) -> Platform:
    """A copy of its warehouse, to damage."""
    name = f"reconcile_{next(_numbers)}"
    original = conninfo.conninfo_to_dict(ingested.dsn)["dbname"]
    server = conninfo.make_conninfo(ingested.dsn, dbname="postgres")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(str(original))
            )
        )
    dsn = conninfo.make_conninfo(ingested.dsn, dbname=name)
    return dataclasses.replace(ingested, dsn=dsn, env={**ingested.env, "PBM_POSTGRES_DSN": dsn})


# -------------------------------------------------------------------- what agrees


def test_every_number_adds_up(ingested: Platform) -> None:
    (path,) = (ingested.home / "manifests").glob("*.json")
    manifest = json.loads(path.read_text())
    assert manifest["duplicates"] > 0
    assert manifest["malformed"] >= 8
    answer = report(reconcile(ingested, "--json"))
    assert answer["ok"]
    assert answer["manifests"] == [str(path)]
    assert answer["notes"] == []
    sides = {
        check["name"]: (check["left_value"], check["right_value"]) for check in answer["checks"]
    }
    events, messages = manifest["events"], manifest["messages"]
    accepted = messages - manifest["malformed"]
    assert sides == {
        "generated messages": (messages, messages),
        "generated events": (events, events),
        **{
            f"refused as {reason}": (count, count)
            for reason, count in manifest["malformed_by_error_type"].items()
        },
        "messages, each in one place": (messages, messages),
        "messages accepted": (accepted, accepted),
        "messages refused": (manifest["malformed"], manifest["malformed"]),
        "events by minute and type": (events, events),
        "events in silver": (events, events),
    }
    counts = answer["counts"]
    assert counts["generator"]["duplicates"] == counts["bronze"]["duplicates"] > 0
    assert counts["dead letters"]["not replayed"] == manifest["malformed"]
    assert counts["job"]["messages read"] == messages


def test_a_person_sees_both_sides_and_what_differs(copy: Platform) -> None:
    shown = reconcile(copy)
    assert shown.returncode == 0, shown.stderr
    for fragment in ("What must agree", "generated messages", "events in silver", "ok"):
        assert fragment in shown.stdout
    assert "difference" not in shown.stdout
    copy.execute("delete from pbm_bronze.dead_letter_orders where error_type = 'not_json'")
    shown = reconcile(copy)
    assert_error(shown, 1, "comparisons differ", "fewer in bronze and the dead letters")
    assert "difference refused as not_json" in shown.stdout


# -------------------------------------------------------------------- what differs


def test_a_row_that_is_gone_from_bronze_is_named(copy: Platform) -> None:
    copy.execute(
        "delete from pbm_bronze.raw_orders where event_id ="
        " (select event_id from pbm_bronze.raw_orders group by 1 having count(*) = 1 limit 1)"
    )
    found = differences(copy)
    assert set(found) == {
        "generated messages",
        "generated events",
        "messages accepted",
        "events by minute and type",
        "events in silver",
    }
    assert found["generated messages"].startswith("1 fewer in bronze and the dead letters")
    assert found["messages accepted"].startswith("1 fewer in bronze than in the job's count")
    assert found["events in silver"].startswith("silver holds 1 events that bronze does not")


def test_a_row_that_ingestion_did_not_write_is_named(copy: Platform) -> None:
    copy.execute(
        "insert into pbm_bronze.raw_orders (message_id, event_id, event_type, order_id,"
        " event_timestamp, schema_version, attributes, payload, publish_time)"
        " values ('x', 'x', 'order_shipped', 'x', now(), 1, '{}', '{}', '2026-03-01T10:00Z')"
    )
    found = differences(copy)
    assert set(found) == {"messages accepted", "events by minute and type"}
    assert "1 more in bronze" in found["messages accepted"]
    assert (
        "2026-03-01 10:00 UTC with 0 order_shipped in the live panes and 1 in bronze"
        in (found["events by minute and type"])
    )


@pytest.mark.parametrize(
    "damage",
    [
        "delete from pbm_speed.live_order_metrics where {first}",
        # the sum stays right: only the minutes tell
        "update pbm_speed.live_order_metrics set window_start = '2026-03-01' where {first}",
    ],
)
def test_panes_that_are_gone_or_misplaced_are_named(copy: Platform, damage: str) -> None:
    first = "pane_id = (select min(pane_id) from pbm_speed.live_order_metrics)"
    copy.execute(damage.format(first=first))
    found = differences(copy)
    assert set(found) == {"events by minute and type"}
    assert "minute" in found["events by minute and type"]


def test_a_dead_letter_of_nowhere_is_named(copy: Platform) -> None:
    copy.execute(
        "insert into pbm_bronze.dead_letter_orders (message_id, payload_base64, attributes,"
        " error_type, error_message, publish_time) values ('x', '', '{}', 'not_json', '', now())"
    )
    found = differences(copy)
    assert set(found) == {"messages refused"}
    assert found["messages refused"].startswith("1 more in the dead letters than in the job's")


def test_a_message_in_both_places_is_named(copy: Platform) -> None:
    copy.execute(
        "update pbm_bronze.dead_letter_orders set message_id ="
        " (select min(message_id) from pbm_bronze.raw_orders) where error_type = 'not_json'"
        " and message_id = (select min(message_id) from pbm_bronze.dead_letter_orders"
        " where error_type = 'not_json')"
    )
    found = differences(copy)
    assert set(found) == {"messages, each in one place"}
    assert "in both of them" in found["messages, each in one place"]


def test_another_reason_than_the_generator_meant_is_named(copy: Platform) -> None:
    copy.execute(
        "update pbm_bronze.dead_letter_orders set error_type = 'not_json'"
        " where error_type = 'not_utf8'"
    )
    assert set(differences(copy)) == {"refused as not_json", "refused as not_utf8"}


def test_what_silver_passed_over_is_named_and_what_it_did_not_build_yet_is_not(
    copy: Platform,
) -> None:
    copy.execute(
        "delete from pbm_silver.stg_order_events where event_id ="
        " (select event_id from pbm_silver.stg_order_events order by ingested_at limit 1)"
    )
    found = differences(copy)
    assert set(found) == {"events in silver"}
    assert found["events in silver"].startswith("silver passed over 1 events of bronze")
    # all that a batch lands has one time, and here everything came in one batch
    copy.execute(
        "delete from pbm_silver.stg_order_events where ingested_at ="
        " (select max(ingested_at) from pbm_silver.stg_order_events)"
    )
    landed = copy.value("select count(distinct event_id) from pbm_bronze.raw_orders")
    answer = report(reconcile(copy, "--json"))
    assert answer["ok"]
    assert answer["counts"]["silver"]["not built yet"] == landed > 1
    assert f"{landed:,} events landed after silver's last build" in " ".join(answer["notes"])
    copy.execute("drop table pbm_silver.stg_order_events cascade")
    answer = report(reconcile(copy, "--json"))
    assert answer["ok"]
    assert "Silver was not built yet" in " ".join(answer["notes"])


# -------------------------------------------------------------------- what was published


def test_what_is_still_in_the_topic_is_a_difference_until_it_is_ingested(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_pubsub(platform)
    first = generate(platform, "pubsub", "--malformed", "0.01")
    found = differences(platform)
    assert found["generated messages"].startswith(f"{first['messages']:,} fewer in bronze")
    assert "not ingested yet" in found["generated messages"]
    assert "generated events" in found

    # the same events once more, by another way through the topic, and messages of somebody else
    second = generate(platform, "pubsub", "--malformed", "0.01", "--shuffle")
    assert second["namespace"] == first["namespace"]
    publish(platform, [lines(event(1)), b"nonsense"], monkeypatch)
    platform.ingest("pubsub")
    answer = report(reconcile(platform, "--json"))
    assert answer["ok"], answer
    assert len(answer["manifests"]) == 2
    assert answer["counts"]["generator"]["messages"] == first["messages"] + second["messages"]
    assert answer["counts"]["generator"]["distinct events"] == first["events"]
    assert answer["counts"]["generator"]["bronze rows of others"] == 1

    # with one of the two sendings left out, the other is too many
    found = differences(platform, "--manifest", answer["manifests"][0])
    assert found["generated messages"].startswith(f"{second['messages']:,} more in bronze")

    # replays are no messages of the generator, whatever becomes of them
    platform.pbm("dead-letters", "replay")
    found = differences(platform)
    assert set(found) == {"dead letters replayed"}
    assert "not ingested yet" in found["dead letters replayed"]
    platform.ingest("pubsub")
    answer = report(reconcile(platform, "--json"))
    assert answer["ok"], answer
    replays = first["malformed"] + second["malformed"] + 1
    assert answer["counts"]["dead letters"]["replays published"] == replays


def test_a_file_is_compared_once_it_was_ingested(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    manifest = generate(platform, file, *KNOBS)
    generate(platform, file, *KNOBS)  # the same bytes: the same messages
    answer = report(reconcile(platform, "--json"))
    assert answer["ok"]
    assert "No manifest" in " ".join(answer["notes"])
    assert "2 manifests are of another topic" in " ".join(answer["notes"])
    named = str(min((platform.home / "manifests").iterdir()))
    assert "generated messages" in differences(platform, "--manifest", named)
    platform.ingest(file)
    answer = report(reconcile(platform, "--json"))
    assert answer["ok"], answer
    assert answer["counts"]["generator"]["messages"] == manifest["messages"]


def test_a_sending_that_was_cut_short_is_said_and_its_messages_not_compared(
    copy: Platform,
) -> None:
    (path,) = (copy.home / "manifests").glob("*.json")
    about = ("namespace", "sent_to", "topic", "started_at")
    content = json.loads(path.read_text())
    begun = path.with_name("begun.json")
    begun.write_text(json.dumps({**{key: content[key] for key in about}, "finished_at": None}))
    # a message that only the sending that was cut short can have brought
    copy.execute(
        "insert into pbm_bronze.dead_letter_orders (message_id, payload_base64, attributes,"
        " error_type, error_message, publish_time) values ('x', '',"
        f" '{{\"event_id\": \"EV-{content['namespace']}-1\"}}', 'not_json', '', now());"
        " update pbm_ops.ingest_runs set dead_letters = dead_letters + 1"
    )
    try:
        answer = report(reconcile(copy, "--json"))
    finally:
        begun.unlink()
    assert answer["ok"], answer
    assert "begun.json goes on or was cut short" in " ".join(answer["notes"])
    compared = {check["name"] for check in answer["checks"]}
    assert "generated messages" not in compared
    assert "refused as not_json" not in compared
    assert "generated events" in compared
    assert set(differences(copy)) == {"generated messages", "refused as not_json"}


def test_a_sending_that_fails_leaves_a_manifest_that_says_so(platform: Platform) -> None:
    env = {**platform.env, "PBM_ORDERS_TOPIC": "nobody-made-it"}
    words = ("generate", "orders", "--orders", "5", "--to", "pubsub")
    assert_error(run_pbm(*words, env=env), 4, "nobody-made-it")
    (path,) = (platform.home / "manifests").glob("*.json")
    manifest = json.loads(path.read_text())
    assert manifest["finished_at"] is None
    assert manifest["topic"].endswith("nobody-made-it")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"namespace": "x"}', "null"])
def test_a_file_that_is_no_manifest_is_named(
    platform: Platform, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "odd.json"
    if content is not None:
        path.write_text(content)
    assert_error(reconcile(platform, "--manifest", str(path)), 3, "odd.json")
