"""Gold does not depend on how events arrive: any order, any duplication, any split into builds."""

import itertools
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingestion.events import Message, Pseudonymiser
from ingestion.pipeline import check_chunk
from ingestion.sinks import PostgresSink
from tests.conftest import PROJECT_ROOT, Platform, new_platform
from tests.end_to_end.warehouse_tables import snapshot

MODELS = (
    "stg_order_events",
    "cleaned_orders_table",
    "dim_dates",
    "dim_drugs",
    "dim_patients",
    "dim_payers",
    "fact_order_events",
    "fact_order_lifecycle",
    "carrier_performance_daily",
    "daily_order_summary",
    "fulfillment_stage_daily",
)
DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)

# Few values, so that ties, duplicates and events that change their order are common.
timestamps = st.sampled_from([DAY + timedelta(hours=h, seconds=h % 3) for h in range(0, 60, 7)])
statuses = st.sampled_from(
    ["approved", "rejected", "pending", "submitted", "denied", "delivered", "exception",
     "in_transit", "Attempt-Fail", "nonsense", None]
)  # fmt: skip
data = st.fixed_dictionaries(
    {},
    optional={
        "status": statuses,
        "payer_id": st.sampled_from(["payer a", " PAYER B ", 7]),
        "carrier_id": st.sampled_from(["swift", "pelican"]),
        "copay_amount": st.sampled_from(["12.345", 1e400, -3, "$5"]),
        "delivered_at": st.sampled_from(["2026-03-02T01:00:00Z", "2026-02-28T01:00:00Z", "soon"]),
        "promised_delivery_at": st.just("2026-03-02T00:00:00Z"),
        "minutes_out_of_range": st.sampled_from([0, "4.5", 1e-9]),
        "patient": st.fixed_dictionaries(
            {"patient_id": st.sampled_from(["p1", "p2"]), "state": st.just("ny")}
        ),
    },
)
events = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from([f"event-{n}" for n in "aAbBcdéfgh"]),
        "order_id": st.sampled_from(["order-1", "order-2", "ORDER-2"]),
        "event_type": st.sampled_from(
            ["order_placed", "insurance_validation", "prior_authorization", "order_dispensed",
             "order_shipped", "shipment_scanned", "order_delivered", "order_cancelled"]
        ),
        "event_timestamp": timestamps.map(datetime.isoformat),
        "data": data,
    }
)  # fmt: skip
# a copy may be published earlier or later than the one that was seen before
messages = st.tuples(events, st.integers(0, 3))


class DbtInProcess:
    """dbt without its start-up: the project is parsed once."""

    def __init__(self, platform: Platform) -> None:
        from dbt.cli.main import dbtRunner

        self._places = (
            *("--project-dir", str(PROJECT_ROOT)),
            *("--profiles-dir", str(platform.home)),
            *("--target-path", platform.env["DBT_TARGET_PATH"]),
            *("--log-path", platform.env["DBT_LOG_PATH"]),
            "--quiet",
        )
        self._runner = dbtRunner()
        manifest = self._runner.invoke(["parse", *self._places]).result
        self._runner = dbtRunner(manifest=manifest)

    def run(self, *arguments: str) -> None:
        result = self._runner.invoke([*arguments, *self._places])
        assert result.success, result.exception or result.result


@pytest.fixture(scope="module")
def warehouse(
    services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, DbtInProcess, PostgresSink]]:
    platform = new_platform(services, tmp_path_factory.mktemp("arrival"))
    dbt = DbtInProcess(platform)
    dbt.run("seed")
    bronze = PostgresSink(platform.dsn)
    yield platform, dbt, bronze
    bronze.close()


def build(dbt: DbtInProcess, *options: str) -> None:
    dbt.run("run", "--select", *MODELS, *options)


_numbers = itertools.count()


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],  # shrinking would take an hour of builds
)
@given(
    stream=st.lists(messages, min_size=12, max_size=40),
    rounds=st.integers(2, 4),
    shuffler=st.randoms(use_true_random=False),
)
def test_any_arrival_gives_the_tables_of_one_full_refresh(
    warehouse: tuple[Platform, DbtInProcess, PostgresSink],
    stream: list[tuple[dict[str, Any], int]],
    rounds: int,
    shuffler: random.Random,
) -> None:
    platform, dbt, bronze = warehouse
    platform.execute(
        "truncate pbm_bronze.raw_orders, pbm_bronze.dead_letter_orders;"
        "drop schema if exists pbm_silver, pbm_gold cascade"
    )
    raw = [
        Message(
            f"message-{next(_numbers):06d}",
            json.dumps(event).encode(),
            {},
            DAY + timedelta(days=30, minutes=minute),
        )
        for event, minute in stream
    ]
    raw += raw[::5]  # the same messages, delivered again
    shuffler.shuffle(raw)
    size = -(-len(raw) // rounds)
    pseudonymiser = Pseudonymiser("k" * 32, 1)
    for start in range(0, len(raw), size):
        with bronze.transaction():
            bronze.land(*check_chunk(raw[start : start + size], pseudonymiser))
        build(dbt)
    in_rounds = snapshot(platform, "pbm_silver", "pbm_gold")
    assert any(in_rounds["pbm_gold.fact_order_lifecycle"])

    build(dbt, "--full-refresh")
    at_once = snapshot(platform, "pbm_silver", "pbm_gold")
    assert in_rounds == at_once


def test_months_late_events_and_earlier_copies_find_their_orders(
    warehouse: tuple[Platform, DbtInProcess, PostgresSink], tmp_path: Path
) -> None:
    """An earlier copy takes the place of a built one, and names another order."""
    del tmp_path
    platform, dbt, bronze = warehouse
    platform.execute(
        "truncate pbm_bronze.raw_orders, pbm_bronze.dead_letter_orders;"
        "drop schema if exists pbm_silver, pbm_gold cascade"
    )
    pseudonymiser = Pseudonymiser("k" * 32, 1)

    def land(message_id: str, publish_minute: int, **event: Any) -> None:
        message = Message(
            message_id,
            json.dumps({"event_timestamp": "2026-03-01T00:00:00Z", **event}).encode(),
            {},
            DAY + timedelta(minutes=publish_minute),
        )
        with bronze.transaction():
            chunk = bronze.land(*check_chunk([message], pseudonymiser))
        assert chunk.landed.accepted == 1
        build(dbt)

    def orders() -> list[tuple[Any, ...]]:
        return platform.rows(
            "select order_id, current_status, event_count from pbm_gold.fact_order_lifecycle"
            " order by order_id"
        )

    land("m2", 2, event_id="e1", order_id="wrong", event_type="order_placed")
    land("m3", 3, event_id="e2", order_id="right", event_type="order_shipped")
    assert orders() == [("right", "shipped", 1), ("wrong", "placed", 1)]
    # the order that lost its only event is gone
    land("m1", 1, event_id="e1", order_id="right", event_type="order_placed")
    assert orders() == [("right", "shipped", 2)]
    # a later copy changes nothing
    land("m9", 9, event_id="e1", order_id="wrong", event_type="order_cancelled")
    assert orders() == [("right", "shipped", 2)]
    # months late, by the event's own time
    land("m4", 4, event_id="e0", order_id="right", event_type="order_delivered",
         event_timestamp="2025-11-01T00:00:00Z")  # fmt: skip
    assert orders() == [("right", "delivered", 3)]
