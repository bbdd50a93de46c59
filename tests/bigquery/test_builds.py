"""`dbt build` of the BigQuery target under ZetaSQL, twice, and its tables next to PostgreSQL's."""

from collections import Counter

import pytest

from tests.bigquery.conftest import FINE, project_files
from tests.bigquery.projects import Build
from tests.bigquery.zetasql_engine import Cell, Table
from tests.end_to_end.warehouse_tables import BOOKKEEPING

# When a build ran says nothing about what it built; what landed when is the same here.
BUILD_TIMES = BOOKKEEPING - {"ingested_at"}
MODELS = [file for file in project_files() if file.startswith("models/") and file.endswith(".sql")]


@pytest.mark.parametrize("file", project_files())
def test_every_statement_means_something_to_bigquery(
    file: str, builds: tuple[Build, Build]
) -> None:
    """Models and seeds build; data tests and unit tests run, and pass."""
    for build in builds:
        wrong = {
            node: f"{end.status}: {end.message}"
            for node, end in build.outcomes.items()
            if end.file == file and end.status not in FINE
        }
        assert not wrong, "\n".join(f"{node} {what}" for node, what in wrong.items())


def test_every_node_is_from_one_of_the_files(builds: tuple[Build, Build]) -> None:
    files = Counter(end.file for end in builds[1].outcomes.values())
    assert set(files) <= set(project_files())
    assert files.total() > 150


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
    assert not empty
    kinds = Counter(statement.kind for statement in second.statements)
    assert kinds["merge"] >= 3
    assert kinds["delete"] >= 2
    orders = [
        {row[0] for row in build.bigquery["pbm_gold.fact_order_lifecycle"].rows} for build in builds
    ]
    assert orders[0] - orders[1], "no order lost all its events to another"
    assert orders[1] - orders[0]
    assert first.bigquery["pbm_gold.fact_order_lifecycle"].rows
