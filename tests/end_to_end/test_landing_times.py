"""What lands together carries one time, and what lands later a later one."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from ingestion import live
from ingestion.events import Message, Pseudonymiser
from ingestion.pipeline import check_chunk
from ingestion.sinks import LANDING_LOCK, PostgresSink
from tests.conftest import Platform
from tests.end_to_end.messages import event, lines

# times of landing in their order, with how much of each table carries them
TIMES = """
select
    coalesce(messages.landed_at, panes.emitted_at) as landed_at,
    coalesce(messages.raw_orders, 0),
    coalesce(messages.dead_letters, 0),
    coalesce(panes.events, 0)
from (
    select
        landed_at,
        count(*) filter (where is_row) as raw_orders,
        count(*) filter (where not is_row) as dead_letters
    from (
        select ingested_at as landed_at, true as is_row from pbm_bronze.raw_orders
        union all
        select failed_at, false from pbm_bronze.dead_letter_orders
    ) as both_tables
    group by landed_at
) as messages
full join (
    select emitted_at, sum(event_count)::int as events
    from pbm_speed.live_order_metrics
    group by emitted_at
) as panes
    on messages.landed_at = panes.emitted_at
order by 1
"""
MOMENT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def land(sink: PostgresSink, number: int) -> None:
    """Land one event, one dead letter and their panes as one batch."""
    messages = [
        Message(f"good {number}", lines(event(number)), {}, MOMENT),
        Message(f"bad {number}", b"nonsense", {}, MOMENT),
    ]
    with sink.transaction():
        chunk = sink.land(*check_chunk(messages, Pseudonymiser("k" * 32, 1)))
        changes = chunk.live_changes.items()
        sink.land_panes(
            [live.pane(f"test {number}", at, key, change) for (at, key), change in changes]
        )


def test_rows_dead_letters_and_panes_of_a_batch_carry_its_time_alone(
    platform: Platform, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    types = ("order_placed", "order_shipped", "order_cancelled")
    good = [event(number, event_type=types[number % 3]) for number in range(27)]
    thirds = (lines(*good[first : first + 9]) + b"nonsense\n" for first in (0, 9, 18))
    file.write_bytes(b"".join(thirds))
    platform.pbm("ingest", "--from", str(file), "--batch-size", "10")
    times = platform.rows(TIMES)
    assert [counts for _, *counts in times] == [[9, 1, 9]] * 3
    by_line = platform.rows(
        'select ingested_at from pbm_bronze.raw_orders order by message_id collate "C"'
    )
    assert [row[0] for row in by_line] == sorted(row[0] for row in by_line)

    platform.execute(
        "delete from pbm_speed.live_order_metrics where event_type <> 'order_placed';"
        "update pbm_ops.ingest_runs set ended_at = null, leased_until = clock_timestamp()"
    )
    file.write_bytes(b"\n")
    platform.ingest(file)
    *_, last = platform.rows(TIMES)
    assert last[1:] == (0, 0, 18), "the repair's panes carry one time of their own"
    assert last[0] > times[-1][0]


def test_the_time_is_that_of_the_turn_and_not_of_the_wait(platform: Platform) -> None:
    """A batch that waits for another lands after it, whichever began first."""
    sink = PostgresSink(platform.dsn)
    land(sink, 1)  # connected
    with psycopg.connect(platform.dsn) as other:
        other.execute("select pg_advisory_xact_lock(%s)", (LANDING_LOCK,))
        waiting = threading.Thread(target=land, args=(sink, 2))
        waiting.start()
        blocked = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        while not platform.value(blocked):
            pass
        row = other.execute("select clock_timestamp()").fetchone()
    waiting.join()
    sink.close()
    assert row is not None
    (_, *one), (landed_at, *two) = platform.rows(TIMES)
    assert one == two == [1, 1, 1]
    assert landed_at > row[0]


def test_a_later_batch_carries_a_later_time_though_the_clock_stepped_back(
    platform: Platform,
) -> None:
    sink = PostgresSink(platform.dsn)
    land(sink, 1)
    for number, column in enumerate(
        (
            "pbm_bronze.raw_orders set ingested_at",
            "pbm_bronze.dead_letter_orders set failed_at",
            "pbm_speed.live_order_metrics set emitted_at",
        ),
        start=2,
    ):
        ahead = datetime.now(UTC) + timedelta(hours=number)
        platform.execute(f"update {column} = '{ahead.isoformat()}'")
        land(sink, number)
        assert platform.rows(TIMES)[-1] == (ahead + timedelta(microseconds=1), 1, 1, 1)
    sink.close()
