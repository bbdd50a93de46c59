"""`dbt build` of the BigQuery target, twice, by Google's client and an emulator's interface.

The plumbing: jobs, datasets, MERGE, descriptions and labels as they are sent, data tests. What the
SQL means to BigQuery is what ZetaSQL says of it.
"""

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from ingestion import bigquery as sinks
from ingestion.events import Message, Pseudonymiser
from ingestion.generate_pbm_orders import OrderSimulation
from ingestion.pipeline import check_chunk
from tests.bigquery.projects import PROJECT, write_bigquery_profile
from tests.bigquery.two_builds import FINE
from tests.bigquery_emulator import create_tables, emulator
from tests.conftest import DBT, PROJECT_ROOT, clean_environment

# The emulator translates each statement that reads payloads for many seconds: the serving views,
# which are analysed and compared elsewhere, and each test of such a view.
SELECTED = (
    *("--select", "path:seeds", "path:models/silver", "path:models/gold"),
    *("--exclude-resource-type", "unit_test"),
    # the emulator has no federated queries
    *("--exclude", "tag:survey", "stg_arriving_order_events+"),
)
FIRST = ("--exclude-resource-type", "test")
SECOND = ("dim_dates", "stg_replaced_order_events,resource_type:test")


@pytest.mark.timeout(1500)
def test_dbt_builds_twice_over_bigquerys_interface(tmp_path: Path) -> None:
    days = datetime.now(UTC).date() - timedelta(days=60)
    simulation = OrderSimulation(orders=12, seed=4, start=days, days=60, duplicates=0.1, late=0.05)
    published = datetime.now(UTC) - timedelta(hours=3)
    messages = [
        Message(f"m-{number}", data, {}, published)
        for number, data in enumerate(one.data for batch in simulation.batches() for one in batch)
    ]
    half = len(messages) // 2
    with emulator(tmp_path, PROJECT) as endpoint:
        client = bigquery.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=endpoint),
        )
        create_tables(client)
        write_bigquery_profile(tmp_path, api_endpoint=endpoint, threads=2)

        land(client, messages[:half])
        built = build(tmp_path, *FIRST)
        assert_built(client, built, messages[:half])

        # the rest, and some of what was there as later copies
        again = [one._replace(message_id=f"again-{one.message_id}") for one in messages[:half:5]]
        land(client, messages[half:] + again)
        built = build(tmp_path, *SECOND)
        assert sum(name.startswith("test.") for name in built) > 100
        assert "MERGE" in built["model.pbm_logistics_360.stg_order_events"]["message"]
        assert_built(client, built, messages)


def land(client: Any, messages: Sequence[Message]) -> None:
    """Check messages and send them as rows of bronze."""
    accepted = check_chunk(messages, Pseudonymiser("k" * 32, 1)).raw_orders
    rows = [sinks.row(order, "ingested_at") for order in accepted]
    assert not client.insert_rows_json(f"{PROJECT}.pbm_bronze.raw_orders", rows)


def build(folder: Path, *options: str) -> dict[str, Any]:
    """Run dbt; returns how each node ended, by its unique id."""
    done = subprocess.run(
        [DBT, "build", "--target", "prod", "--no-use-colors", *SELECTED, *options],
        cwd=PROJECT_ROOT,
        env=clean_environment(
            DBT_PROFILES_DIR=str(folder),
            DBT_TARGET_PATH=str(folder / "target"),
            DBT_LOG_PATH=str(folder / "logs"),
        ),
        capture_output=True,
        text=True,
        timeout=700,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    results = json.loads((folder / "target" / "run_results.json").read_text())["results"]
    return {result["unique_id"]: result for result in results}


def assert_built(client: Any, built: dict[str, Any], messages: Sequence[Message]) -> None:
    assert sum(name.startswith("model.") for name in built) > 15
    # an order may well be without an event: dbt warns of what it only wants to be told
    assert {result["status"] for result in built.values()} <= FINE | {"warn"}
    events = {str(event["event_id"]): event for event in (json.loads(m.data) for m in messages)}
    orders = {event["order_id"] for event in events.values()}
    assert rows(client, "pbm_silver.stg_order_events") == len(events)
    assert rows(client, "pbm_gold.fact_order_events") == len(events)
    assert rows(client, "pbm_gold.fact_order_lifecycle") == len(orders)


def rows(client: Any, table: str) -> int:
    (row,) = client.query(f"select count(*) from `{PROJECT}.{table}`").result()
    return int(row[0])
