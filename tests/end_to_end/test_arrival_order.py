"""Silver and gold do not depend on how events arrive: in any order, twice, over many builds."""

import itertools
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingestion.events import Message, Pseudonymiser
from ingestion.pipeline import check_chunk
from ingestion.sinks import PostgresSink
from tests.conftest import PROJECT_ROOT, Platform, new_platform
from tests.end_to_end.warehouse_tables import snapshot, tables

SILVER_AND_GOLD = ("path:models/silver", "path:models/gold")
CALENDAR = "dim_dates"  # 37,000 rows that no event changes: built once
VARIABLES = {
    # each build reads what is new, and not what the last hour brought
    "late_commit_overlap_minutes": 0,
    # a handful of orders says what such orders usually take
    "alerts_history_orders": 1,
}
DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)

# Few values, so that ties, duplicates and events that change their order are common; some events
# happened months before all others, and some copies were published months after.
timestamps = st.sampled_from(
    [DAY + timedelta(hours=h, seconds=h % 3) for h in (*range(0, 60, 7), -2900, -1500)]
)
publish_minutes = st.sampled_from([0, 1, 2, 3, 3 + 100 * 24 * 60])
statuses = st.sampled_from(
    ["approved", "rejected", "pending", "submitted", "denied", "delivered", "exception",
     "in_transit", "Attempt-Fail", "nonsense", None]
)  # fmt: skip
data = st.fixed_dictionaries(
    {},
    optional={
        "status": statuses,
        "payer_id": st.sampled_from(["payer a", " PAYER B ", "self-pay", 7]),
        "pharmacy_id": st.sampled_from(["rx-reno", "unheard of"]),
        "carrier_id": st.sampled_from(["ups", "unheard of"]),
        "ndc": st.sampled_from(["58406-445-04", "99999-9999-99"]),
        "priority": st.sampled_from(["stat", "standard", "whenever"]),
        "reject_code": st.sampled_from(["75", "92"]),
        "copay_amount": st.sampled_from(["12.345", 1e400, -3, "$5"]),
        "delivered_at": st.sampled_from(["2026-03-02T01:00:00Z", "2026-02-28T01:00:00Z", "soon"]),
        "promised_delivery_at": st.sampled_from(["2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"]),
        "cold_chain": st.sampled_from(["true", "False"]),
        "temperature_c": st.sampled_from([5, "9.5"]),
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
messages = st.tuples(events, publish_minutes)


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
        manifest = self._runner.invoke(self._command("parse")).result
        self._runner = dbtRunner(manifest=manifest)

    def _command(self, *arguments: str) -> list[str]:
        """The command line; of several `--vars` dbt would take the last one only."""
        rest, variables = list(arguments), dict(VARIABLES)
        while "--vars" in rest:
            at = rest.index("--vars")
            variables |= yaml.safe_load(rest[at + 1])
            del rest[at : at + 2]
        return [*rest, *self._places, "--vars", json.dumps(variables)]

    def run(self, *arguments: str) -> None:
        result = self._runner.invoke(self._command(*arguments))
        found = [] if result.exception else result.result
        errors = [f"{one.node.name}: {one.message}" for one in found if one.status == "error"]
        assert result.success, result.exception or "\n".join(errors)

    def results(self, *arguments: str) -> dict[str, str]:
        """What became of each node, by its name."""
        result = self._runner.invoke(self._command(*arguments))
        assert result.exception is None, result.exception
        return {one.node.name: str(one.status) for one in result.result}


@pytest.fixture(scope="module")
def warehouse(
    services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Platform, DbtInProcess, PostgresSink]]:
    platform = new_platform(services, tmp_path_factory.mktemp("arrival"))
    dbt = DbtInProcess(platform)
    dbt.run("seed")
    dbt.run("run", "--select", CALENDAR)
    bronze = PostgresSink(platform.dsn)
    yield platform, dbt, bronze
    bronze.close()


def build(dbt: DbtInProcess, *options: str, selected: tuple[str, ...] = SILVER_AND_GOLD) -> None:
    dbt.run("run", "--select", *selected, "--exclude", CALENDAR, *options)


def begin(platform: Platform) -> None:
    """An empty bronze, and nothing built but the calendar."""
    built = set(tables(platform, "pbm_silver", "pbm_gold", views=True)) - {f"pbm_gold.{CALENDAR}"}
    base = set(tables(platform, "pbm_silver", "pbm_gold"))
    drops = [
        f"drop {'table' if name in base else 'view'} if exists {name} cascade;"
        for name in sorted(built)
    ]
    platform.execute(
        "truncate pbm_bronze.raw_orders, pbm_bronze.dead_letter_orders,"
        " pbm_speed.live_order_metrics;" + "".join(drops)
    )


_numbers = itertools.count()


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],  # shrinking would take an hour of builds
)
@given(
    # several streams that share nothing but patients: a build costs the same for one as for three
    streams=st.tuples(*[st.lists(messages, min_size=12, max_size=36)] * 3),
    rounds=st.integers(2, 4),
    shuffler=st.randoms(use_true_random=False),
)
def test_any_arrival_gives_the_tables_of_one_full_refresh(
    warehouse: tuple[Platform, DbtInProcess, PostgresSink],
    streams: tuple[list[tuple[dict[str, Any], int]], ...],
    rounds: int,
    shuffler: random.Random,
) -> None:
    platform, dbt, bronze = warehouse
    begin(platform)
    raw = [
        Message(
            f"message-{next(_numbers):06d}",
            json.dumps(
                event | {name: f"{stream}-{event[name]}" for name in ("event_id", "order_id")}
            ).encode(),
            {},
            DAY + timedelta(days=30, minutes=minute),
        )
        for stream, messages_of_it in enumerate(streams)
        for event, minute in messages_of_it
    ]
    raw += raw[::5]  # the same messages, delivered again
    shuffler.shuffle(raw)
    size = -(-len(raw) // rounds)
    pseudonymiser = Pseudonymiser("k" * 32, 1)
    for start in range(0, len(raw), size):
        with bronze.transaction():
            bronze.land(*check_chunk(raw[start : start + size], pseudonymiser))
        build(dbt)
    in_rounds = snapshot(platform, "pbm_silver", "pbm_gold", views=True)
    assert any(in_rounds["pbm_gold.fact_order_lifecycle"])

    build(dbt, "--full-refresh")
    at_once = snapshot(platform, "pbm_silver", "pbm_gold", views=True)
    assert in_rounds == at_once


def test_months_late_events_and_earlier_copies_find_their_orders(
    warehouse: tuple[Platform, DbtInProcess, PostgresSink], tmp_path: Path
) -> None:
    """An earlier copy takes the place of a built one, and names another order."""
    del tmp_path
    platform, dbt, bronze = warehouse
    begin(platform)
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
        build(dbt, selected=("+fact_order_lifecycle", "fact_order_events"))

    def orders() -> list[tuple[Any, ...]]:
        found = platform.rows(
            "select order_id, current_status, event_count from pbm_gold.fact_order_lifecycle"
            " order by order_id"
        )
        journeys = platform.rows(
            "select order_id, count(*) from pbm_gold.fact_order_events group by 1 order by 1"
        )
        assert journeys == [(order_id, events) for order_id, _, events in found]
        return found

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
