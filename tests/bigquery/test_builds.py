"""`dbt build` of the BigQuery target under ZetaSQL, twice, and its tables next to PostgreSQL's."""

import re
from collections import Counter
from typing import Any

import pytest

from ingestion import surveys
from tests.bigquery import federated
from tests.bigquery.projects import PROJECT, Build
from tests.bigquery.two_builds import FINE, build_twice, project_files
from tests.bigquery.zetasql_engine import Cell, Table, ZetaSql, one_name
from tests.end_to_end.warehouse_tables import BOOKKEEPING

# When a build ran says nothing about what it built; what landed when is the same here.
BUILD_TIMES = (BOOKKEEPING | {"built_through", "moved_at", "last_batch_at", "run_started_at"}) - {
    "ingested_at"
}
MODELS = [file for file in project_files() if file.startswith("models/") and file.endswith(".sql")]


# the reference engine takes its time, and the first test waits for all of both builds
pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def builds(
    engine: ZetaSql, services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Build, Build]:
    """A first build, and an incremental one after more has come, on both warehouses."""
    return build_twice(engine, services, tmp_path_factory.mktemp("both"))


@pytest.mark.parametrize("file", project_files())
def test_every_statement_means_something_to_bigquery(
    file: str, builds: tuple[Build, Build]
) -> None:
    """Models and seeds build: BigQuery's own DDL, MERGE and DELETE, as dbt sends them."""
    for build in builds:
        assert file in {end.file for end in build.outcomes.values()}
        wrong = {
            node: f"{end.status}: {end.message}"
            for node, end in build.outcomes.items()
            if end.file == file and end.status not in FINE
        }
        assert not wrong, "\n".join(f"{node} {what}" for node, what in wrong.items())


def test_every_node_is_from_one_of_the_files(builds: tuple[Build, Build]) -> None:
    files = Counter(end.file for end in builds[1].outcomes.values())
    assert set(files) <= set(project_files())
    assert files.total() > 30


@pytest.mark.parametrize("file", MODELS)
def test_both_warehouses_hold_the_same(file: str, builds: tuple[Build, Build]) -> None:
    """Cell by cell, after a full build and after an incremental one."""
    name = file.rpartition("/")[2].removesuffix(".sql")
    for build in builds:
        (table,) = (table for table in build.bigquery if table.endswith(f".{name}"))
        bigquery, postgres = build.bigquery[table], build.postgres[table]
        assert list(bigquery.columns) == list(postgres.columns)
        assert bigquery.columns == postgres.columns, "types differ"
        here, there = cells(bigquery), cells(postgres)
        assert not here - there, "only BigQuery holds these"
        assert not there - here, "only PostgreSQL holds these"


def cells(table: Table) -> Counter[tuple[tuple[str, Cell], ...]]:
    """The rows, each as its named cells, without the times of builds."""
    return Counter(
        tuple(
            (column, cell)
            for column, cell in zip(table.columns, row, strict=True)
            if column not in BUILD_TIMES
        )
        for row in table.rows
    )


def test_the_builds_had_something_to_do(builds: tuple[Build, Build]) -> None:
    """Every table has rows, the second build merged, moved events and removed orders."""
    first, second = builds
    empty = {name for name, table in second.bigquery.items() if not table.rows}
    # what silver does not show yet is nothing after a build
    assert empty == {"pbm_silver.stg_arriving_order_events"}
    kinds = Counter(statement.kind for statement in second.statements)
    assert kinds["merge"] >= 3
    assert kinds["delete"] >= 2
    orders = [
        {row[0] for row in build.bigquery["pbm_gold.fact_order_lifecycle"].rows} for build in builds
    ]
    assert orders[0] - orders[1], "no order lost all its events to another"
    assert orders[1] - orders[0]
    assert first.bigquery["pbm_gold.fact_order_lifecycle"].rows


# BigQuery reads only the partitions that a literal names: what a build asks of bronze has one.
BRONZE = f"`{PROJECT}.pbm_bronze.raw_orders`"
_MODEL = re.compile(r'"node_id": "model\.[^"]*\.(\w+)"')
_LITERAL = re.compile(
    r"ingested_at\s*>\s*(?:coalesce\(\s*)?timestamp_sub\(\s*cast\('[0-9][^']*' as timestamp\)"
)


def tables_made_from_bronze(build: Build) -> dict[str, str]:
    """The statements that make a table of a model from bronze itself, by the model."""
    found = {}
    for statement in build.statements:
        model = _MODEL.search(statement.sql)
        if model and statement.kind == "create_table" and BRONZE in one_name(statement.sql):
            found[model[1]] = statement.sql
    return found


def test_a_federated_query_reads_every_column_but_the_comment(
    builds: tuple[Build, Build],
) -> None:
    """One text is sent to Cloud SQL, by one view."""
    sent = [one.sql for build in builds for one in build.statements]
    asking = [sql for sql in sent if "external_query" in sql.lower()]
    assert {match[1] for sql in asking if (match := _MODEL.search(sql))} == {"stg_survey_responses"}
    queries = set()
    for sql in asking:
        federated.replaced(sql, lambda _connection, query: queries.add(query) or "")  # type: ignore[func-returns-value]
    (query,) = queries
    columns = [column for column in surveys.COLUMNS if column != "comment"]
    assert query == f"select {', '.join([*columns, 'loaded_at'])} from survey_data.survey_responses"


def test_an_incremental_build_names_the_partitions_of_bronze(builds: tuple[Build, Build]) -> None:
    statements = tables_made_from_bronze(builds[1])
    assert "stg_order_events" in statements
    without = [
        model
        for model, sql in statements.items()
        if model == "stg_order_events" and not _LITERAL.search(sql)
    ]
    assert not without


def test_a_first_build_reads_all_of_bronze(builds: tuple[Build, Build]) -> None:
    """The check itself can tell the two apart."""
    assert not _LITERAL.search(tables_made_from_bronze(builds[0])["stg_order_events"])
