"""Batch plus speed is one full rebuild: at any moment, whatever came in and whatever was built."""

import itertools
import json
import random
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from ingestion import live
from ingestion.events import Message, Pseudonymiser
from ingestion.pipeline import check_chunk
from ingestion.sinks import PostgresSink
from tests.conftest import PBM, Platform, new_platform
from tests.end_to_end.messages import prepare_pubsub, publish
from tests.end_to_end.test_arrival_order import DAY, DbtInProcess, messages
from tests.end_to_end.warehouse_tables import BOOKKEEPING

SILVER = ("stg_order_events", "cleaned_orders_table")
GOLD = (*SILVER, "fact_order_lifecycle")
# each example is several builds, and a machine may be busy
pytestmark = pytest.mark.timeout(1800)

VIEWS = ("order_status_now", "order_activity_by_minute")
STAGING = (
    "stg_order_messages",
    "stg_arriving_order_events",
    "stg_replaced_order_events",
    "stg_live_order_metrics",
    "stg_dead_letter_orders",
)
VOUCHED = ("--vars", "{serving_watermark_moves: true}")

# What a build may reach before it ends, fails or is told to leave things out.
BUILDS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "half of silver": ("stg_order_events",),
    "silver": SILVER,
    "gold, not vouched for": GOLD,
    "gold and the views, not vouched for": (*GOLD, *VIEWS),
    "everything": (*GOLD, "ingestion_reconciliation", "serving_watermark", *VIEWS, *VOUCHED),
}

# The schema of views with the SQL by which dbt would build a table anew: they say at every moment
# what a full refresh would give at that moment.
ANEW = "full_refresh"
REBUILT = {
    "stg_order_events": "silver/orders",
    "cleaned_orders_table": "silver/orders",
    "fact_order_lifecycle": "gold",
    "ingestion_reconciliation": "gold",
}

# One statement, and so one moment of the database.
DIFFERENCES = f"""
with

status_now as (

    select {{columns}} from pbm_serving.order_status_now

),

status_wanted as (

    select {{columns}} from {ANEW}.fact_order_lifecycle

),

activity_now as (

    select window_start, event_type, state, status, sum(event_count) as event_count
    from pbm_serving.order_activity_by_minute
    group by window_start, event_type, state, status
    having sum(event_count) <> 0

),

activity_wanted as (

    select
        date_trunc('minute', publish_time, 'UTC') as window_start,
        event_type, state, status, count(*) as event_count
    from {ANEW}.stg_order_events
    group by 1, 2, 3, 4

)

select 'order that is not so' as what, row(difference.*)::text
from (table status_now except all table status_wanted) as difference
union all
select 'order that is missing', row(difference.*)::text
from (table status_wanted except all table status_now) as difference
union all
select 'minute that is not so', row(difference.*)::text
from (table activity_now except all table activity_wanted) as difference
union all
select 'minute that is missing', row(difference.*)::text
from (table activity_wanted except all table activity_now) as difference
union all
select 'events in all', row(counted, received)::text
from
    (select coalesce(sum(event_count), 0) as counted from pbm_serving.order_activity_by_minute)
    as activity,
    (select count(distinct event_id) as received from pbm_bronze.raw_orders) as bronze
where counted <> received
"""


class Warehouse:
    """A platform, dbt without its start-up, and what a full refresh would give."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.dbt = DbtInProcess(platform)
        self.dbt.run("seed")
        self.dbt.run(
            *("compile", "--select", *REBUILT, "--vars", "{compile_is_incremental: false}")
        )
        compiled = Path(platform.env["DBT_TARGET_PATH"], "compiled", "pbm_logistics_360", "models")
        self._anew = {
            name: (compiled / folder / f"{name}.sql").read_text()
            for name, folder in REBUILT.items()
        }

        self.dbt.run("run", "--select", "dim_dates", *GOLD, *STAGING, "serving_watermark")
        self.dbt.run("run", "--select", "ingestion_reconciliation", *VIEWS)
        self._create_anew()
        columns = platform.value(
            "select string_agg(column_name, ', ' order by ordinal_position)"
            " from information_schema.columns"
            " where table_schema = 'pbm_gold' and table_name = 'fact_order_lifecycle'"
            " and column_name <> all(%s)",
            sorted(BOOKKEEPING),
        )
        self._differences = DIFFERENCES.format(columns=columns)

    def _create_anew(self) -> None:
        database = self.platform.value("select current_database()")
        built = re.compile(rf'"{database}"\."pbm_(?:silver|gold)"\."({"|".join(REBUILT)})"')
        self.platform.execute(f"create schema {ANEW}")
        for name, statement in self._anew.items():
            anew = built.sub(rf"{ANEW}.\1", statement)
            self.platform.execute(f"create view {ANEW}.{name} as {anew}")

    def begin(self) -> None:
        """Empty all that was landed and built; the watermark has no row."""
        tables = ", ".join(
            f"pbm_{folder.partition('/')[0]}.{name}" for name, folder in REBUILT.items()
        )
        self.platform.execute(
            "truncate pbm_bronze.raw_orders, pbm_bronze.dead_letter_orders,"
            f" pbm_speed.live_order_metrics, pbm_serving.serving_watermark, {tables}"
        )
        self.build(*VIEWS)

    def build(self, *selected: str) -> None:
        """Run some models; options may follow them."""
        if selected:
            self.dbt.run("run", "--select", *selected)

    def differences(self) -> list[tuple[Any, ...]]:
        """What the serving views say otherwise than a full refresh would at this moment."""
        return self.platform.rows(self._differences)

    def reconciliation_differs(self) -> list[tuple[Any, ...]]:
        """Hours that an incremental build left otherwise than a full refresh."""
        name = "ingestion_reconciliation"
        return self.platform.rows(
            f"(table {ANEW}.{name} except table pbm_gold.{name})"
            f" union all (table pbm_gold.{name} except table {ANEW}.{name})"
        )


@pytest.fixture(scope="module")
def warehouse(
    services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Warehouse, PostgresSink]]:
    platform = new_platform(services, tmp_path_factory.mktemp("serving"))
    bronze = PostgresSink(platform.dsn)
    yield Warehouse(platform), bronze
    bronze.close()


_numbers = itertools.count()
_PSEUDONYMISER = Pseudonymiser("k" * 32, 1)


def message(event: dict[str, Any], publish_minute: int) -> Message:
    return Message(
        f"message-{next(_numbers):06d}",
        json.dumps(event).encode(),
        {},
        DAY + timedelta(days=30, minutes=publish_minute),
    )


def land(bronze: PostgresSink, batch: Sequence[Message]) -> None:
    """Land a batch as ingestion does: its rows and its panes in one transaction."""
    emission = f"batch {next(_numbers)}"
    with bronze.transaction():
        chunk = bronze.land(*check_chunk(batch, _PSEUDONYMISER))
        bronze.land_panes(
            [
                live.pane(emission, start, key, count)
                for (start, key), count in chunk.live_changes.items()
                if count
            ]
        )


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],  # shrinking would take an hour of builds
)
@example(
    # one event whose copies are each earlier than the one before, and of another order
    stream=[
        ({"event_id": "e", "order_id": f"order-{minute}", "event_type": "order_placed",
          "event_timestamp": DAY.isoformat(), "data": {"patient": {"state": "ny"}}}, minute)
        for minute in (4, 3, 2, 1, 0)
    ],
    builds=["everything", "half of silver", "gold and the views, not vouched for", "everything"],
    shuffler=None,
)  # fmt: skip
@given(
    stream=st.lists(messages, min_size=12, max_size=40),
    builds=st.lists(st.sampled_from(list(BUILDS)), min_size=2, max_size=4),
    shuffler=st.randoms(use_true_random=False),
)
def test_the_views_equal_a_full_refresh_whatever_was_built(
    warehouse: tuple[Warehouse, PostgresSink],
    stream: list[tuple[dict[str, Any], int]],
    builds: list[str],
    shuffler: random.Random | None,
) -> None:
    built, bronze = warehouse
    built.begin()
    raw = [message(event, minute) for event, minute in stream]
    if shuffler is not None:
        raw += raw[::5]  # the same messages, delivered again
        shuffler.shuffle(raw)
    size = -(-len(raw) // (len(builds) + 1))
    for number, start in enumerate(range(0, len(raw), size)):
        land(bronze, raw[start : start + size])
        assert built.differences() == [], f"after landing {number}, before its build"
        if number < len(builds):
            built.build(*BUILDS[builds[number]])
            assert built.differences() == [], f"after a build of {builds[number]}"
    assert built.platform.value("select count(*) from pbm_serving.order_status_now") > 0

    built.build(*BUILDS["everything"])
    assert built.differences() == []
    assert not built.platform.value(
        "select count(*) filter (where is_live) from pbm_serving.order_status_now"
    )
    assert built.reconciliation_differs() == []
    assert not built.platform.value(
        "select count(*) from pbm_gold.ingestion_reconciliation where difference <> 0"
    )


def test_the_views_equal_a_full_refresh_while_an_ingester_lands(
    warehouse: tuple[Warehouse, PostgresSink], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages are published before each build, and are landed while it runs."""
    built, _ = warehouse
    platform = built.platform
    built.begin()
    file = tmp_path / "orders.jsonl"
    platform.pbm(
        *("generate", "orders", "--orders", "700", "--seed", "5", "--duplicates", "0.1"),
        *("--malformed", "0.02", "--shuffle", "--to", str(file)),
    )
    messages = file.read_bytes().splitlines()
    parts = (*BUILDS, *BUILDS)
    size = -(-len(messages) // len(parts))
    prepare_pubsub(platform)
    follower = subprocess.Popen(
        [PBM, "ingest", "--follow", "--batch-size", "100"],
        env=platform.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    moments: list[tuple[int, int]] = []
    try:
        for number, part in enumerate(parts):
            publish(platform, messages[number * size : (number + 1) * size], monkeypatch)
            deadline = time.monotonic() + 120
            while platform.value("select count(*) from pbm_bronze.raw_orders") == 0:
                assert time.monotonic() < deadline, "nothing is landed"
            assert built.differences() == []
            moments += platform.rows(
                "select (select count(*) from pbm_bronze.raw_orders),"
                " count(*) filter (where is_live) from pbm_serving.order_status_now"
            )
            built.build(*BUILDS[part])
        assert follower.poll() is None
    finally:
        follower.terminate()
        _, errors = follower.communicate(timeout=120)
    assert follower.returncode == 0, errors
    platform.ingest("pubsub")
    while_landing = {rows for rows, live_orders in moments if live_orders}
    assert len(while_landing) >= 3, f"too few moments with something live: {moments}"

    # and what was taken for a full refresh is one
    assert built.differences() == []
    built.build(*GOLD, "--full-refresh")
    built.build(*STAGING, *VIEWS)  # PostgreSQL drops the views on a table that is made anew
    assert built.differences() == []
    columns = "order_id, current_status, event_count, events_hash, quality_flags"
    assert platform.rows(
        f"select {columns} from pbm_gold.fact_order_lifecycle order by order_id"
    ) == platform.rows(f"select {columns} from pbm_serving.order_status_now order by order_id")
    assert platform.value("select count(*) from pbm_serving.order_status_now") == 700
