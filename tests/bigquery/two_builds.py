"""Two builds of the project on both warehouses from the same messages."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ingestion import surveys
from ingestion.events import Message, Pseudonymiser
from ingestion.pipeline import check_chunk
from ingestion.sinks import PostgresSink
from ingestion.surveys import SurveyResponse
from tests.bigquery import federated, payloads
from tests.bigquery.projects import (
    PROJECT,
    Build,
    Dbt,
    answered_by,
    postgres_table,
    postgres_tables,
    write_bigquery_profile,
)
from tests.bigquery.zetasql_engine import Table, ZetaSql
from tests.bigquery.zetasql_warehouse import ZetaSqlBigQuery
from tests.conftest import Platform, new_platform

ORDERS = 40

# The reference engine takes minutes for some tests: each is analysed, and none is run. What they
# would look at is compared with PostgreSQL's tables, on which all of them do run elsewhere.
MODELS_ONLY = (
    *("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"),
    *("--vars", "{serving_watermark_moves: true}"),
)

# The reference engine compares each of a century's days with each: it is built the first time, and
# what changes it is analysed.
SLOW = ("dim_dates",)


def land(platform: Platform, messages: Sequence[Message]) -> None:
    """Check messages and land them, as ingestion does."""
    bronze = PostgresSink(platform.dsn)
    with bronze.transaction():
        bronze.land(*check_chunk(messages, Pseudonymiser("k" * 32, 1)))
    bronze.close()


def claim(order_id: str, published_at: datetime) -> Message:
    """A copy of one event, which says of which order it is."""
    event = {
        "event_id": "claimed",
        "event_type": "order_placed",
        "event_timestamp": "2026-03-02T09:00:00Z",
        "order_id": order_id,
    }
    return Message(f"claimed-by-{order_id}", json.dumps(event).encode(), {}, published_at)


def answers_without_an_order() -> list[SurveyResponse]:
    """Answers that name no order, or one that nobody knows; the last one a minute before UTC's day.

    Every score, every question skipped once, and a channel that few use.
    """
    invited_at = datetime(2026, 2, 27, 23, 59, tzinfo=UTC)
    full = SurveyResponse("full", None, invited_at, invited_at, "mail", "vi", 10, 5, 5, 5, 5, 5)

    def answer(response_id: str, **changes: Any) -> SurveyResponse:
        return replace(full, response_id=response_id, **changes)

    questions = surveys.COLUMNS[6:12]
    return [
        *(answer(f"score-{score}", likelihood_to_recommend=score) for score in range(11)),
        *(answer(f"rating-{name}", **{name: 1}, survey_channel="sms") for name in questions),
        *(answer(f"skipped-{name}", **{name: None}, order_id="of nobody") for name in questions),
        answer("next-day", responded_at=invited_at + timedelta(minutes=1)),
    ]


def build_twice(engine: ZetaSql, services: dict[str, Any], folder: Path) -> tuple[Build, Build]:
    """A first build, and an incremental one after more has come, on both warehouses."""
    platform = new_platform(services, folder)
    (folder / "bigquery").mkdir()
    write_bigquery_profile(folder / "bigquery")
    bigquery = Dbt(folder / "bigquery", folder / "bigquery", "prod")
    client = ZetaSqlBigQuery(engine, PROJECT)

    def external(connection: str, query: str) -> Table:
        assert connection == f"{PROJECT}.us.pbmpostgre"
        return federated.run(platform.dsn, query)

    client.external = external

    file = folder / "orders.jsonl"
    knobs = ("--duplicates", "0.05", "--late", "0.05", "--malformed", "0.02", "--shuffle")
    platform.pbm(
        *("generate", "orders", "--orders", str(ORDERS), "--days", "60", "--seed", "4"),
        *(*knobs, "--to", str(file)),
    )
    lines = file.read_bytes().splitlines(keepends=True)
    nasty = list(payloads.messages(datetime.now(UTC) - timedelta(hours=3)))
    half = len(lines) // 2
    first = folder / "first.jsonl"
    first.write_bytes(b"".join(lines[:half]))
    platform.ingest(first)
    this_morning = datetime.now(UTC) - timedelta(hours=3)
    land(platform, [*nasty[::2], claim("order-that-goes", this_morning)])
    surveys.insert(platform.dsn, answers_without_an_order())
    before = _build(platform, bigquery, client, incremental=False)

    second = folder / "second.jsonl"
    # some lines again: by their new publish time they are later copies
    second.write_bytes(b"".join(lines[half:] + lines[:half:10]))
    platform.ingest(second)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    earlier = [
        Message(f"earlier-{number}", line.rstrip(), {}, yesterday)
        for number, line in enumerate(lines[5:half:10])
    ]
    claimed = claim("order-that-stays", yesterday)
    land(platform, [*nasty[1::2], *nasty[::8], *earlier, claimed])
    for seed in ("1", "2"):
        platform.pbm("generate", "surveys", "--responses", "30", "--seed", seed)
    return before, _build(platform, bigquery, client, incremental=True)


def _build(
    platform: Platform, bigquery: Dbt, client: ZetaSqlBigQuery, *, incremental: bool
) -> Build:
    # a process of its own: a dbt that has met one warehouse's macros keeps them for the next
    platform.dbt("build", *MODELS_ONLY)
    for source in bigquery.manifest.sources.values():
        if source.schema != "survey_data":  # it is not in BigQuery
            name = f"{source.schema}.{source.identifier}"
            client.put(name, postgres_table(platform, name))
    sent = len(client.statements)
    slow = SLOW if incremental else ()
    with answered_by(client):
        outcomes = bigquery.end_of("build", *MODELS_ONLY, *(f"--exclude={name}" for name in slow))
        client.only_analyses = True
        if slow:
            outcomes |= bigquery.end_of("run", "--select", *slow)
        client.only_analyses = False
    built = [
        f"{node.schema}.{node.alias}"
        for node in bigquery.manifest.nodes.values()
        if f"{PROJECT}.{node.schema}.{node.alias}" in client.held
    ]
    return Build(
        outcomes=outcomes,
        statements=client.statements[sent:],
        bigquery={name: client.read(name) for name in built},
        postgres={name: postgres_table(platform, name) for name in postgres_tables(platform)},
    )


FINE = {"success", "pass", "no-op"}  # an exposure is no-op
"""How dbt says that a node is built or a test passed."""


def project_files() -> list[str]:
    """Every file of the project from which something is built or run, from its root."""
    root = Path(__file__).resolve().parents[2]
    patterns = ("models/**/*.sql", "models/exposures.yml", "seeds/*.csv", "dbt_project.yml")
    return sorted(
        str(path.relative_to(root)) for pattern in patterns for path in root.glob(pattern)
    )
