"""BigQuery reads only the partitions that a literal names: what a build asks of bronze has one."""

import re

from tests.bigquery.projects import PROJECT, Build
from tests.bigquery.zetasql_engine import one_name

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
