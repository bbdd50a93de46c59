"""Never lost, never double: whatever is killed, restarted or stalled, everything adds up after."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from ingestion.runs import IngestRun
from ingestion.sinks import LANDING_LOCK
from ingestion.sources import PubSubSource
from pbm import pubsub
from pbm.errors import PbmError
from pbm.postgres import EmbeddedPostgres
from tests.conftest import PBM, Platform, clean_environment, run_pbm

KEY = "a test's own key, of 32 bytes or more"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A stack of the test's own, whose services it may hurt."""
    env = clean_environment(PBM_HOME=str(tmp_path / "home"), PBM_PSEUDONYM_KEY=KEY)
    try:
        up = run_pbm("up", "--json", env=env)
        assert up.returncode == 0, up.stderr
        status = json.loads(up.stdout)
        yield Platform(tmp_path / "home", status["postgres_dsn"], env)
    finally:
        run_pbm("down", env=env)


def publish(platform: Platform, orders: int, seed: int = 1) -> dict[str, Any]:
    """Publish orders with every fault of real feeds; poison stands in any position."""
    manifest = json.loads(
        platform.pbm(
            *("generate", "orders", "--orders", str(orders), "--seed", str(seed)),
            *("--duplicates", "0.05", "--malformed", "0.02", "--shuffle"),
            *("--to", "pubsub", "--json"),
        ).stdout
    )
    assert isinstance(manifest, dict)
    return manifest


def start_drain(platform: Platform, batch_size: int = 500) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PBM, "ingest", "--drain", "--json", "--batch-size", str(batch_size)],
        env=platform.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def landed(platform: Platform) -> int:
    return int(
        platform.value(
            "select (select count(*) from pbm_bronze.raw_orders)"
            " + (select count(*) from pbm_bronze.dead_letter_orders)"
        )
    )


def wait_for_rows(platform: Platform, rows: int, drain: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while landed(platform) < rows:
        assert time.monotonic() < deadline, "nothing is landed"
        assert drain.poll() is None, f"the drain ended too early: {drain.communicate()}"
        time.sleep(0.02)


def finished(drain: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        output, errors = drain.communicate(timeout=120)
    finally:
        drain.kill()
    assert drain.returncode == 0, errors
    summary = json.loads(output)
    assert isinstance(summary, dict)
    return summary


def assert_everything_adds_up(platform: Platform, manifest: dict[str, Any]) -> None:
    """Every message is one row or one dead letter, and every event counts once, in its minute."""
    assert platform.rows(
        "select count(*), count(distinct message_id), count(distinct event_id)"
        " from pbm_bronze.raw_orders"
    ) == [
        (
            manifest["events"] + manifest["duplicates"],
            manifest["events"] + manifest["duplicates"],
            manifest["events"],
        )
    ]
    dead = platform.rows(
        "select error_type, count(*) from pbm_bronze.dead_letter_orders group by 1 order by 1"
    )
    assert dict(dead) == dict(sorted(manifest["malformed_by_error_type"].items()))
    assert (
        platform.value(
            "select count(*) from pbm_bronze.raw_orders"
            " inner join pbm_bronze.dead_letter_orders using (message_id)"
        )
        == 0
    )
    assert_panes_equal_bronze(platform)
    assert platform.ingest("pubsub")["read"] == 0, "the subscription is not empty"


def assert_panes_equal_bronze(platform: Platform) -> None:
    differences = platform.rows(
        """
        with firsts as (
            select distinct on (event_id) event_type, publish_time
            from pbm_bronze.raw_orders
            order by event_id, publish_time, message_id collate "C"
        ),
        batch as (
            select date_trunc('minute', publish_time) as minute, event_type, count(*) as events
            from firsts group by 1, 2
        ),
        live as (
            select window_start as minute, event_type, sum(event_count) as events
            from pbm_speed.live_order_metrics group by 1, 2 having sum(event_count) <> 0
        )
        select minute, event_type, batch.events, live.events
        from batch full join live using (minute, event_type)
        where batch.events is distinct from live.events
        """
    )
    assert differences == []


def test_the_database_restarts_in_mid_load(own: Platform) -> None:
    manifest = publish(own, 1500)
    drain = start_drain(own)
    for rows in (1000, 4000, 7000):
        wait_for_rows(own, rows, drain)
        postmaster = own.home / "postgres" / "data" / "postmaster.pid"
        os.kill(int(postmaster.read_text().splitlines()[0]), signal.SIGQUIT)  # as a crash
        server = EmbeddedPostgres(own.home)
        deadline = time.monotonic() + 30
        while server.port() is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)  # long enough for the drain to meet a closed port
        up(own)
    summary = finished(drain)
    assert summary["read"] >= manifest["messages"]
    assert_everything_adds_up(own, manifest)


def up(platform: Platform) -> None:
    """`pbm up`, again if the old server is still on its way out."""
    deadline = time.monotonic() + 30
    while (result := run_pbm("up", env=platform.env)).returncode != 0:
        if time.monotonic() > deadline:
            raise PbmError(result.stderr, "")
        time.sleep(0.5)


def test_the_emulator_stalls(own: Platform) -> None:
    manifest = publish(own, 1000)
    emulator = psutil.Process(
        json.loads((own.home / "services.json").read_text())["emulator"]["pid"]
    )
    drain = start_drain(own, batch_size=1000)
    # near the end, where a drain has little to do while lost answers hold messages
    wait_for_rows(own, manifest["messages"] - 4500, drain)
    emulator.suspend()
    time.sleep(13)  # longer than one call may take
    emulator.resume()
    finished(drain)
    assert_everything_adds_up(own, manifest)


def test_sigkill_at_any_moment(platform: Platform) -> None:
    prepare(platform)
    manifest = publish(platform, 2000)
    chance = random.Random(7)  # noqa: S311
    kills = 0
    for _ in range(5):
        before = landed(platform)
        drain = start_drain(platform, batch_size=chance.choice([300, 1000, 3000]))
        deadline = time.monotonic() + 30
        while landed(platform) == before and drain.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.4))
        if drain.poll() is None:
            drain.kill()
            kills += 1
        drain.communicate()
    assert kills >= 3, "too few kills to prove anything"
    platform.ingest("pubsub")
    assert_everything_adds_up(platform, manifest)


def test_what_waits_for_its_commit_comes_again_after_a_kill_and_not_before(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Landing is held up for longer than Pub/Sub waits for an acknowledgement."""
    monkeypatch.setattr(pubsub, "ACK_DEADLINE_SECONDS", 10)
    prepare(platform)
    manifest = publish(platform, 10)
    with psycopg.connect(platform.dsn) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (LANDING_LOCK,))
        drain = start_drain(platform)
        blocked = (
            "select count(*) from pg_locks inner join pg_database on database = pg_database.oid"
            " where datname = current_database() and locktype = 'advisory' and not granted"
        )
        deadline = time.monotonic() + 60
        while not platform.value(blocked):
            assert time.monotonic() < deadline, "nothing was pulled"
            time.sleep(0.1)
        time.sleep(12)
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", platform.env["PUBSUB_EMULATOR_HOST"])
        subscription = (
            f"projects/{platform.env['GOOGLE_CLOUD_PROJECT']}/subscriptions/orders-topic-sub"
        )
        answer = pubsub_v1.SubscriberClient().pull(
            request={
                "subscription": subscription,
                "max_messages": 1,
                "return_immediately": True,
            }
        )
        assert not answer.received_messages, "they came again though their ingester lives"
        drain.kill()
        drain.communicate()
    assert landed(platform) == 0
    # a drain that asks at once, while Pub/Sub still waits for the killed one
    assert read_all(platform, monkeypatch) == manifest["messages"]


def test_a_pull_whose_answer_is_lost_is_waited_for(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its messages are leased to nobody, and the subscription looks empty until they come again."""
    monkeypatch.setattr(pubsub, "ACK_DEADLINE_SECONDS", 10)
    prepare(platform)
    manifest = publish(platform, 5)
    pull = pubsub_v1.SubscriberClient.pull
    lost: list[int] = []

    def pull_without_an_answer(*arguments: Any, **named: Any) -> Any:
        answer = pull(*arguments, **named)
        if sum(lost) < manifest["messages"]:
            lost.append(len(answer.received_messages))
            raise exceptions.DeadlineExceeded("the answer is lost")
        return answer

    monkeypatch.setattr(pubsub_v1.SubscriberClient, "pull", pull_without_an_answer)
    read = read_all(platform, monkeypatch)
    assert sum(lost) == manifest["messages"], "no answer was lost"
    assert read == manifest["messages"]


def test_a_backlog_gathers_for_a_moment_and_no_longer(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every pull brings all that one can: there is always more to wait for."""
    prepare(platform)
    waiting = publish(platform, 6000)["messages"]
    source, run = open_source(platform, monkeypatch, batch_size=waiting)
    first = next(source.batches())
    source.close()
    run.end()
    assert PubSubSource._FULL_PULL < len(first.messages) < waiting


def open_source(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> tuple[PubSubSource, IngestRun]:
    """The subscription, read by this process."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", platform.env["PUBSUB_EMULATOR_HOST"])
    subscription = f"projects/{platform.env['GOOGLE_CLOUD_PROJECT']}/subscriptions/orders-topic-sub"
    run = IngestRun(platform.dsn, subscription)
    return PubSubSource(subscription, batch_size=batch_size, follow=False, run=run), run


def read_all(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many messages a drain in this process gets."""
    source, run = open_source(platform, monkeypatch, batch_size=1000)
    read = 0
    for batch in source.batches():
        read += len(batch.messages)
        source.acknowledge(batch)
    source.close()
    run.end()
    return read


def test_two_ingesters_on_one_subscription(platform: Platform) -> None:
    prepare(platform)
    manifest = publish(platform, 2500)
    drains = [start_drain(platform), start_drain(platform)]
    summaries = [finished(drain) for drain in drains]
    assert all(summary["read"] > 0 for summary in summaries), "one of them had no part in it"
    assert sum(s["accepted"] for s in summaries) == manifest["events"] + manifest["duplicates"]
    assert_everything_adds_up(platform, manifest)


def test_an_earlier_copy_that_comes_later_moves_its_event_to_its_own_minute(
    platform: Platform, tmp_path: Path
) -> None:
    del tmp_path
    from datetime import UTC, datetime

    from ingestion.events import Message, Pseudonymiser
    from ingestion.pipeline import check_chunk
    from ingestion.sinks import PostgresSink

    sink = PostgresSink(platform.dsn)

    def land(minute: int, message_id: str, event_type: str) -> None:
        event = {
            "event_id": "e",
            "event_type": event_type,
            "event_timestamp": "2026-03-01T00:00:00Z",
            "order_id": "o",
            "data": {"patient": {"state": " ny "}, "status": "Approved"},
        }
        at = datetime(2026, 3, 2, 0, minute, 30, tzinfo=UTC)
        message = Message(message_id, json.dumps(event).encode(), {}, at)
        with sink.transaction():
            chunk = sink.land(*check_chunk([message], Pseudonymiser("k" * 32, 1)))
            from ingestion import live

            sink.land_panes(
                [
                    live.pane(f"test {message_id}", start, key, change)
                    for (start, key), change in chunk.live_changes.items()
                ]
            )

    land(9, "b", "order_placed")
    land(9, "c", "order_cancelled")  # a later copy does not count
    land(3, "d", "insurance_validation")
    land(3, "a", "order_placed")  # the same time, a smaller id
    sink.close()
    counts = platform.rows(
        "select extract(minute from window_start)::int, event_type, state, status,"
        " sum(event_count)::int from pbm_speed.live_order_metrics group by 1, 2, 3, 4 order by 1, 2"
    )
    assert counts == [
        (3, "insurance_validation", None, "approved", 0),
        (3, "order_placed", "NY", None, 1),
        (9, "order_placed", "NY", None, 0),
    ]
    assert_panes_equal_bronze(platform)


def test_a_restart_repairs_windows_that_were_cut_short(platform: Platform, tmp_path: Path) -> None:
    """As on a warehouse without transactions over both: bronze was landed, its panes were not."""
    file = tmp_path / "orders.jsonl"
    platform.pbm("generate", "orders", "--orders", "200", "--seed", "3", "--to", str(file))
    platform.ingest(file)
    assert_panes_equal_bronze(platform)
    platform.execute(
        "delete from pbm_speed.live_order_metrics where event_type <> 'order_placed';"
        "update pbm_ops.ingest_runs set ended_at = null, leased_until = clock_timestamp()"
    )
    again = tmp_path / "again.jsonl"
    again.write_bytes(b"\n")
    platform.ingest(again)
    assert_panes_equal_bronze(platform)
    panes = platform.value("select count(*) from pbm_speed.live_order_metrics")
    platform.ingest(again)
    assert platform.value("select count(*) from pbm_speed.live_order_metrics") == panes


def prepare(platform: Platform) -> None:
    """The topic and the subscription of this test's project."""
    from pbm.settings import Settings

    host = platform.env["PUBSUB_EMULATOR_HOST"]
    settings = Settings(
        home=platform.home,
        pubsub_emulator_host=host,
        google_cloud_project=platform.env["GOOGLE_CLOUD_PROJECT"],
    )
    pubsub.ensure_topic_and_subscription(host, settings)
