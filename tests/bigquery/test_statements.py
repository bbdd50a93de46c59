"""Every model and data test as dbt compiles it for BigQuery, analysed by ZetaSQL."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dashboards.queries import Query, all_queries
from tests.bigquery import federated
from tests.bigquery.projects import PROJECT, Dbt, write_bigquery_profile
from tests.bigquery.zetasql_engine import SqlError, Table, ZetaSql, one_name
from tests.conftest import PROJECT_ROOT

_OFFLINE = ("compile", "--no-populate-cache", "--no-introspect", "--vars")
_ELSEWHERE = f"{PROJECT}.cloud_sql"
_SAME_TYPE = {"text": "string", "integer": "int64", "boolean": "bool"}


class Statements:
    """What was compiled, and what the analyser said of it, by branch and unique id."""

    def __init__(self, dbt: Dbt, engine: ZetaSql) -> None:
        manifest = dbt.manifest
        self.tables = {
            _name(node): Table.of(_declared(node), [])
            for node in [*manifest.sources.values(), *manifest.nodes.values()]
            if node.resource_type in {"source", "seed"}
        }
        self.compiled: set[str] = set()
        self.refused: dict[str, list[str]] = {}
        for incremental in ("false", "true"):
            done = dbt.invoke(*_OFFLINE, f"{{compile_is_incremental: {incremental}}}")
            assert done.success, done.exception
            nodes = {one.node.unique_id: one.node for one in done.result}
            waiting = [node for node in nodes.values() if node.resource_type == "model"]
            while waiting:
                names = {node.unique_id for node in waiting}
                ready = [node for node in waiting if not names & set(node.depends_on.nodes)]
                for node in ready:
                    self._analyse(engine, node, node.compiled_code)
                waiting = [node for node in waiting if node not in ready]
            for node in nodes.values():
                if node.resource_type == "test":
                    self._analyse(engine, node, node.compiled_code)

    def _analyse(self, engine: ZetaSql, node: Any, sql: str) -> None:
        self.compiled.add(node.original_file_path)
        try:
            analysis = engine.analyze(federated.replaced(sql, _as_if_here), self.tables)
        except SqlError as error:
            self.refused.setdefault(node.original_file_path, []).append(
                f"{node.unique_id}: {error}"
            )
            return
        if node.resource_type == "model":
            self.tables[_name(node)] = Table.of(analysis.columns, [])


def _as_if_here(_connection: str, query: str) -> str:
    """The same columns of the source's declared ones; PostgreSQL answers in test_builds."""
    columns, table = query.removeprefix("select ").split(" from ")
    return f"(select {columns} from `{_ELSEWHERE}.{table.partition('.')[2]}`)"


def _name(node: Any) -> str:
    if node.config.meta.get("is_federated"):
        # BigQuery does not hold it: who reads it by its own name is refused
        return f"{_ELSEWHERE}.{node.identifier}"
    return one_name(node.relation_name).replace("`", "")


def _declared(node: Any) -> Mapping[str, str]:
    types = {
        **{name: column.data_type for name, column in node.columns.items()},
        **(getattr(node.config, "column_types", None) or {}),
    }
    return {
        name: _SAME_TYPE.get(kind.lower(), kind.lower()).upper()
        for name, kind in types.items()
        if kind
    }


@pytest.fixture(scope="module")
def statements(engine: ZetaSql, tmp_path_factory: pytest.TempPathFactory) -> Statements:
    folder = tmp_path_factory.mktemp("statements")
    write_bigquery_profile(folder)
    return Statements(Dbt(folder, folder, "prod"), engine)


def project_files() -> list[str]:
    """Every file of the project with a model, or with tests of one."""
    found = [
        *PROJECT_ROOT.glob("models/**/*.sql"),
        *PROJECT_ROOT.glob("models/*/**/*.yml"),
        *PROJECT_ROOT.glob("tests/singular/*.sql"),
        *PROJECT_ROOT.glob("seeds/*.yml"),
    ]
    return sorted({str(Path(file).relative_to(PROJECT_ROOT)) for file in found})


_BINDS = {"text": "STRING", "integer": "INT64", "timestamp": "TIMESTAMP", "date": "DATE"}


@pytest.mark.parametrize("query", all_queries(), ids=lambda query: query.name)
def test_bigquery_would_take_a_query_of_the_dashboards(
    query: Query, statements: Statements, engine: ZetaSql
) -> None:
    """Against the tables as their models give them; only gold and serving are there to read."""
    tables = {
        name: table
        for name, table in statements.tables.items()
        if name.split(".")[1] in {"pbm_gold", "pbm_serving"}
    }
    # a client puts its own project before a dataset
    sql = re.sub(r"\b(pbm_(?:gold|serving)\.\w+)", rf"`{PROJECT}.\1`", query.sql)
    binds = {name: _BINDS[kind] for name, kind in query.binds.items()}
    analysis = engine.analyze(sql, tables, binds)
    assert analysis.kind == "query"
    assert analysis.columns


@pytest.mark.parametrize("file", project_files())
def test_bigquery_would_take_it(file: str, statements: Statements) -> None:
    """With BigQuery's features and no others; both branches of incremental models."""
    assert file in statements.compiled
    assert not statements.refused.get(file), "\n".join(statements.refused[file])
