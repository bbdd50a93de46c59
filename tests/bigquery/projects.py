"""The dbt project on its two warehouses, in this process: BigQuery's answered by ZetaSQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import yaml

from tests.bigquery.zetasql_engine import Table
from tests.bigquery.zetasql_warehouse import Statement, ZetaSqlBigQuery
from tests.conftest import PROJECT_ROOT, Platform

PROJECT = "pbm-logistics-360"
"""The Google Cloud project that the tests name."""

SCHEMAS = ("pbm_seeds", "pbm_silver", "pbm_gold", "pbm_serving", "survey_data")
"""What dbt builds."""

_TYPES = {
    "text": "STRING",
    "integer": "INT64",
    "bigint": "INT64",
    "numeric": "NUMERIC",
    "boolean": "BOOL",
    "date": "DATE",
    "json": "JSON",
    "timestamp with time zone": "TIMESTAMP",
}


class Outcome(NamedTuple):
    """How a node of the project ended.

    Attributes:
        file: The file that it is from.
        status: dbt's word.
        message: dbt's message.
    """

    file: str
    status: str
    message: str


class Dbt:
    """dbt without its start-up: the project is parsed once.

    Args:
        folder: For dbt's target and logs.
        profiles: The folder of ``profiles.yml``.
        target: The profile's target.
    """

    def __init__(self, folder: Path, profiles: Path, target: str) -> None:
        from dbt.cli.main import dbtRunner

        self.folder = folder
        self._places = (
            *("--project-dir", str(PROJECT_ROOT)),
            *("--profiles-dir", str(profiles)),
            *("--target", target),
            *("--target-path", str(folder / "target")),
            *("--log-path", str(folder / "logs")),
            "--quiet",
        )
        self.manifest: Any = dbtRunner().invoke(["parse", *self._places]).result
        assert self.manifest is not None, "dbt cannot parse the project"
        self._runner = dbtRunner(manifest=self.manifest)

    def invoke(self, *arguments: str) -> Any:
        """Run a command; returns dbt's result, whether it succeeded or not."""
        return self._runner.invoke([*arguments, *self._places])

    def end_of(self, *arguments: str) -> dict[str, Outcome]:
        """Run a command; returns how each node ended."""
        result = self.invoke(*arguments)
        assert result.exception is None, result.exception
        return {
            one.node.unique_id: Outcome(
                one.node.original_file_path.removeprefix("./"), str(one.status), one.message or ""
            )
            for one in result.result
        }


@contextmanager
def answered_by(client: ZetaSqlBigQuery) -> Iterator[None]:
    """Have dbt's adapter for BigQuery use this client."""
    from dbt.adapters.bigquery import connections

    with patch.object(connections, "create_bigquery_client", lambda _credentials: client):
        yield


def write_bigquery_profile(folder: Path, **settings: object) -> None:
    """Write a profile for BigQuery that needs no credentials."""
    output = {
        "type": "bigquery",
        "method": "oauth-secrets",
        "token": "opens nothing",
        "project": PROJECT,
        "dataset": "pbm_scratch",
        "threads": 1,
        "job_retries": 0,
        **settings,
    }
    profile = {"pbm_logistics_360": {"target": "prod", "outputs": {"prod": output}}}
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile))


@dataclass(frozen=True)
class Build:
    """What one build did and left on both warehouses.

    Attributes:
        outcomes: BigQuery's, by unique id.
        statements: What dbt sent to BigQuery.
        bigquery: The tables and views, by ``schema.name``.
        postgres: The same of PostgreSQL.
    """

    outcomes: Mapping[str, Outcome]
    statements: Sequence[Statement]
    bigquery: Mapping[str, Table]
    postgres: Mapping[str, Table] = field(default_factory=dict)


def postgres_table(platform: Platform, name: str) -> Table:
    """A table or view of PostgreSQL as BigQuery would have it, by ``schema.name``."""
    schema, _, table = name.partition(".")
    columns = {
        str(column): _TYPES[kind]
        for column, kind in platform.rows(
            "select column_name, data_type from information_schema.columns"
            " where table_schema = %s and table_name = %s order by ordinal_position",
            schema,
            table,
        )
    }
    names = ", ".join(
        f'"{column}"::text' if kind == "JSON" else f'"{column}"' for column, kind in columns.items()
    )
    return Table.of(columns, platform.rows(f"select {names} from {schema}.{table}"))


def postgres_tables(platform: Platform) -> list[str]:
    """The tables and views of PostgreSQL that dbt built."""
    found = platform.rows(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema = any(%s) order by 1",
        list(SCHEMAS),
    )
    return [row[0] for row in found]
