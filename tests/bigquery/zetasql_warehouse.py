"""A BigQuery in memory: the client that dbt's adapter uses, with ZetaSQL behind it.

dbt sends it what it would send to BigQuery. Every statement is analysed as it is; queries, tables
and views are made by the reference engine, and a MERGE or DELETE, which it cannot run, by queries
that are put together from the statement's own clauses.
"""

import csv
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import IO, Any, NamedTuple

from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

from tests.bigquery import federated
from tests.bigquery.zetasql_engine import (
    Analysis,
    Cell,
    Columns,
    SqlError,
    Syntax,
    Table,
    ZetaSql,
    one_name,
    type_name,
)

_REST_NAMES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
_READERS: dict[str, Callable[[str], Cell]] = {
    "STRING": str,
    "INTEGER": int,
    "NUMERIC": Decimal,
    "BOOLEAN": lambda text: {"true": True, "false": False}[text.lower()],
    "DATE": date.fromisoformat,
}


# dbt asks for a query's columns in this way, and the engine would compute every row for it
_ASKS_FOR_COLUMNS = re.compile(
    r"where false and current_timestamp\(\) = current_timestamp\(\)\s*limit 0[\s;)]*$"
)

_OF_A_TEST = ("failures", "should_warn", "should_error")
"""The columns of the one row that dbt asks for as a data test."""


class Held(NamedTuple):
    """A table or view.

    Attributes:
        columns: As declared, precision and scale included.
        table: The rows; None for a view.
        query: A view's query; empty for a table.
    """

    columns: Columns
    table: Table | None = None
    query: str = ""


class Statement(NamedTuple):
    """What was sent.

    Attributes:
        sql: The text, with dbt's comment that names the node.
        kind: What the analyser calls it.
    """

    sql: str
    kind: str


class Result:
    """A query's rows, as the client's iterator gives them."""

    def __init__(self, table: Table) -> None:
        self.schema = [
            bigquery.SchemaField(name, _REST_NAMES.get(kind, kind))
            for name, kind in table.columns.items()
        ]
        self._rows = table.rows
        self._places = {name: place for place, name in enumerate(table.columns)}

    def __iter__(self) -> Iterator[bigquery.Row]:
        return (bigquery.Row(row, self._places) for row in self._rows)


@dataclass
class Job:
    """A job that is done."""

    statement_type: str
    destination: str
    table: Table
    num_dml_affected_rows: int | None = None
    total_bytes_processed: int = 0
    total_bytes_billed: int = 0
    slot_millis: int = 0
    location: str = "US"
    job_id: str = ""
    project: str = ""
    state: str = "DONE"
    error_result: None = None

    def result(self, **_options: object) -> Any:
        """The rows of a query; the job itself, where it loaded a table."""
        return Result(self.table) if self.statement_type != "LOAD" else self


@dataclass
class ZetaSqlBigQuery:
    """The client's methods that dbt calls.

    Attributes:
        engine: Analyses and executes.
        project: The project's name.
        held: Tables and views, by ``project.dataset.table``.
        statements: Every statement, in order.
        external: Answers a federated query, by connection and text.
        only_analyses: Statements are analysed and not run: a test of data finds nothing wrong,
            a new table is empty, and one that is there keeps its rows.
    """

    engine: ZetaSql
    project: str
    held: dict[str, Held] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    external: Callable[[str, str], Table] | None = None
    only_analyses: bool = False
    _datasets: set[str] = field(default_factory=set)
    _loaded: dict[str, Table] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # ---- what tests do with it

    def put(self, name: str, table: Table) -> None:
        """Keep a table under ``dataset.table``, in place of what is there."""
        self._datasets.add(name.partition(".")[0])
        self.held[f"{self.project}.{name}"] = Held(table.columns, table)

    def read(self, name: str) -> Table:
        """The table or view ``dataset.table``."""
        return self._run(f"select * from `{self.project}.{name}`")

    # ---- queries

    def query(self, query: str, **_options: object) -> Job:
        """Run a statement."""
        with self._lock:
            try:
                return self._query(query)
            except SqlError as error:
                raise _refusal(str(error)) from error

    def _query(self, sql: str) -> Job:  # noqa: PLR0911 - one for each kind
        syntax = self.engine.parse(sql)
        self.statements.append(Statement(sql, syntax.kind))
        if syntax.kind == "query":
            table = self._run(sql)
            # dbt asks for an answer's columns right after it, and never again
            destination = f"{self.project}.answers.answer_{threading.get_ident()}"
            self.held[destination] = Held(table.columns, table)
            return Job("SELECT", destination, table)
        here = self._without_federation(sql)
        analysis = self.engine.analyze(here, self._tables(here))
        if self.only_analyses and syntax.kind in {"merge", "delete"}:
            return Job(syntax.kind.upper(), _name(syntax["target_path"]), Table({}), 0)
        match syntax.kind:
            case "create_table":
                return self._create_table(syntax, analysis)
            case "create_view":
                name = _name(syntax["name"])
                self.held[name] = Held(analysis.columns, query=syntax["query"].text)
                return Job("CREATE_VIEW", name, Table({}))
            case "merge":
                return self._merge(syntax)
            case "delete":
                return self._delete(syntax)
            case "create_schema":
                self._datasets.add(_name(syntax["name"]).split(".")[1])
                return Job("CREATE_SCHEMA", "", Table({}))
            case "alter_table":
                return Job("ALTER_TABLE", "", Table({}))
            case _:
                raise SqlError(f"Nothing here sends a statement of this kind: {syntax.kind}.")

    def _create_table(self, syntax: Syntax, analysis: Analysis) -> Job:
        name = _name(syntax["name"])
        columns = dict(analysis.columns)
        if syntax.has("table_element_list"):
            for element in syntax["table_element_list"].all("elements"):
                (kind,) = re.findall(r"^\w+(?:\s*\([^)]*\))?", element["schema"].text)
                columns[element["name"].text] = kind
        table = self._as_declared(columns, syntax["query"].text)
        self.held[name] = Held(columns, table)
        return Job("CREATE_TABLE_AS_SELECT", name, table)

    def _as_declared(self, columns: Columns, query: str) -> Table:
        """The rows of a query in a table of these columns: what BigQuery does as it writes."""
        casts = (f"cast(`{name}` as {kind}) as `{name}`" for name, kind in columns.items())
        return self._run(f"select {', '.join(casts)} from ({query}\n)")

    def _merge(self, syntax: Syntax) -> Job:
        name = _name(syntax["target_path"])
        target = f"{syntax['target_path'].text} {syntax['alias'].text}"
        alias = syntax["alias"]["identifier"].text
        source = syntax["table_expression"].text
        condition = syntax["merge_condition"].text
        updated, inserted = syntax["when_clauses"].all("clause_list")
        columns = self.held[name].columns

        new = {
            item["set_value"]["path"].text.strip("`"): item["set_value"]["value"].text
            for item in updated["action"]["update_item_list"].all("update_items")
        }
        updates = ", ".join(f"{new.get(c, f'{alias}.`{c}`')} as `{c}`" for c in columns)
        values = dict(
            zip(
                (
                    c.text.strip("`")
                    for c in inserted["action"]["insert_column_list"].all("identifiers")
                ),
                (value.text for value in inserted["action"]["insert_row"].all("values")),
                strict=True,
            )
        )
        inserts = ", ".join(f"{values.get(c, 'null')} as `{c}`" for c in columns)
        matched = self._run(f"select {updates} from {target} inner join {source} on {condition}")
        kept = self._run(
            f"select {alias}.* from {target}"
            f" where not exists (select 1 from {source} where {condition})"
        )
        if len(matched.rows) + len(kept.rows) != len(self._table(name).rows):
            raise SqlError("UPDATE/MERGE must match at most one source row for each target row.")
        added = self._run(
            f"select {inserts} from {source}"
            f" where not exists (select 1 from {target} where {condition})"
        )
        changed = self._together(columns, [matched, added])
        self.held[name] = Held(columns, self._together(columns, [kept, changed]))
        return Job("MERGE", name, Table({}), len(changed.rows))

    def _delete(self, syntax: Syntax) -> Job:
        name = _name(syntax["target_path"])
        before = self._table(name)
        kept = self._run(
            f"select * from {syntax['target_path'].text} {syntax['alias'].text}"
            f" where not coalesce(({syntax['where'].text}), false)"
        )
        self.held[name] = Held(self.held[name].columns, kept)
        return Job("DELETE", name, Table({}), len(before.rows) - len(kept.rows))

    def _together(self, columns: Columns, tables: Sequence[Table]) -> Table:
        together = Table(tables[0].columns)
        for table in tables:
            together.packed.table_data.row.extend(table.packed.table_data.row)
        self.held["scratch.scratch.scratch"] = Held(columns, together)
        return self._as_declared(columns, "select * from `scratch.scratch.scratch`")

    def _run(self, sql: str) -> Table:
        with self._lock:
            sql = self._without_federation(sql)
            tables = self._tables(sql)
            if self.only_analyses or _ASKS_FOR_COLUMNS.search(sql):
                columns = self.engine.analyze(sql, tables).columns
                nothing_wrong = [(0, False, False)] if tuple(columns) == _OF_A_TEST else []
                return Table.of(columns, nothing_wrong)
            return self.engine.execute(sql, tables)

    def _without_federation(self, sql: str) -> str:
        """A statement that reads what the other database answers now from a table."""
        return federated.replaced(sql, self._answered)

    def _answered(self, connection: str, query: str) -> str:
        assert self.external is not None, "no federated query was expected"
        table = self.external(connection, query)
        name = f"{self.project}.federated.answer_{len(self.held)}"
        self.held[name] = Held(table.columns, table)
        return f"`{name}`"

    def _table(self, name: str) -> Table:
        held = self.held[name]
        return held.table if held.table is not None else self._run(held.query)

    def _tables(self, sql: str) -> dict[str, Table]:
        """The tables that a statement names."""
        text = one_name(sql)
        return {name: self._table(name) for name in list(self.held) if f"`{name}`" in text}

    # ---- datasets and tables

    def create_dataset(self, dataset: Any, **_options: object) -> None:
        """Make a dataset."""
        self._datasets.add(dataset.dataset_id)

    def list_datasets(self, **_options: object) -> list[Any]:
        """Every dataset."""
        return [bigquery.DatasetReference(self.project, name) for name in sorted(self._datasets)]

    def list_tables(self, dataset: Any, **_options: object) -> Iterator[bigquery.Table]:
        """The tables and views of a dataset."""
        # a generator: like the real one it fails when the first is asked for
        if dataset.dataset_id not in self._datasets:
            raise NotFound(dataset.dataset_id)
        prefix = f"{self.project}.{dataset.dataset_id}."
        for name in [name for name in self.held if name.startswith(prefix)]:
            yield self.get_table(name)

    def list_routines(self, *_arguments: object) -> list[Any]:
        """No functions are kept."""
        return []

    def get_routine(self, routine: Any) -> Any:
        """No functions are kept."""
        raise NotFound(str(routine))

    def get_table(self, table: Any) -> bigquery.Table:
        """A table's description."""
        name = str(table)
        if name not in self.held:
            raise NotFound(name)
        held = self.held[name]
        kinds = {column: type_name(kind) for column, kind in held.columns.items()}
        project, dataset, table_id = name.split(".")
        return bigquery.Table.from_api_repr(
            {
                "tableReference": {
                    "projectId": project,
                    "datasetId": dataset,
                    "tableId": table_id,
                },
                "type": "VIEW" if held.table is None else "TABLE",
                "numRows": "0" if held.table is None else str(len(held.table.rows)),
                "lastModifiedTime": str(int(datetime.now(UTC).timestamp() * 1000)),
                "schema": {
                    "fields": [
                        {"name": column, "type": _REST_NAMES.get(kind, kind)}
                        for column, kind in kinds.items()
                    ]
                },
            }
        )

    def update_table(self, table: Any, _fields: object) -> Any:
        """Descriptions are not kept."""
        return table

    def delete_table(self, table: Any, **_options: object) -> None:
        """Remove a table or view."""
        self.held.pop(str(table), None)

    def load_table_from_file(
        self, file: IO[bytes], table: Any, *, job_config: Any, **_options: object
    ) -> Job:
        """Load a seed.

        Raises:
            BadRequest: The schema names a type that the API does not have.
        """
        kinds = {column.name: column.field_type.upper() for column in job_config.schema}
        unknown = {name: kind for name, kind in kinds.items() if kind not in _READERS}
        if unknown:
            raise _refusal(f"Invalid value for type: {unknown}")
        lines = csv.DictReader(file.read().decode().splitlines())
        loaded = Table.of(
            kinds,
            [
                [_READERS[kind](line[name]) if line[name] else None for name, kind in kinds.items()]
                for line in lines
            ],
        )
        with self._lock:
            # the same seed again is the same table, so that what is made from it is known already
            kept = self._loaded.setdefault(str(table), loaded)
            if kept.packed != loaded.packed:
                self._loaded[str(table)] = kept = loaded
            self.held[str(table)] = Held(kinds, kept)
        return Job("LOAD", str(table), loaded)

    def close(self) -> None:
        """Nothing is open."""


def _refusal(message: str) -> BadRequest:
    """An error as BigQuery sends it."""
    return BadRequest(message, errors=[{"message": message, "reason": "invalidQuery"}])


def _name(path: Syntax) -> str:
    """The ``project.dataset.table`` that a path names."""
    return path.text.replace("`", "")
