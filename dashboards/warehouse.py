"""Reading gold and the serving views, on PostgreSQL or BigQuery, by a login that may only read."""

import queue
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Protocol

import psycopg
from psycopg.rows import dict_row

from dashboards.queries import Query
from pbm import warehouse as postgres
from pbm.errors import PbmError
from pbm.settings import Settings

Value = str | int | Decimal | bool | date | datetime | None
Row = dict[str, Any]

_PARAMETER: Final = re.compile(r"@(\w+)")
_SCHEMA: Final = re.compile(r"\bpbm_(?=(?:gold|serving)\.)")
_CONNECTIONS_KEPT: Final = 8


class DataError(PbmError):
    """A page cannot have its numbers."""


class NoWarehouseError(DataError):
    """The warehouse does not answer, or does not let the dashboards in."""

    exit_code = 4


class NotBuiltError(DataError):
    """A table or view is not there: dbt has not built it, or only half of it."""

    exit_code = 5


class Warehouse(Protocol):
    """Where the numbers are."""

    name: str

    def rows(self, query: Query, parameters: Mapping[str, Value]) -> list[Row]:
        """Run a query.

        Args:
            query: One of ``dashboards.queries``.
            parameters: The value of each name that the query binds, and of no other.

        Returns:
            The rows by column name; numerics are ``Decimal``, timestamps aware and in UTC.

        Raises:
            NoWarehouseError: The warehouse does not answer, or refuses the login.
            NotBuiltError: What the query reads is not built.
            DataError: The query failed otherwise.
        """


def in_schemas(sql: str, prefix: str) -> str:
    """The statement with a developer's prefix before each schema, as dbt puts it there."""
    return _SCHEMA.sub(f"{prefix}_pbm_", sql) if prefix else sql


@dataclass
class PostgresWarehouse:
    """PostgreSQL, with a few connections that are kept and shared by all sessions.

    Args:
        dsn: Connection string of the reading login.
        prefix: Prefix of the schemas.
    """

    dsn: str
    prefix: str = ""
    name: str = "PostgreSQL"

    def __post_init__(self) -> None:
        self._idle: queue.LifoQueue[psycopg.Connection[Row]] = queue.LifoQueue()

    def rows(self, query: Query, parameters: Mapping[str, Value]) -> list[Row]:
        """See ``Warehouse``."""
        sql = in_schemas(_PARAMETER.sub(r"%(\1)s", query.sql.replace("%", "%%")), self.prefix)
        try:
            with self._connection() as connection:
                return connection.execute(sql.encode(), parameters or None).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
            raise NotBuiltError(
                f"{query.name} needs something that is not built: {error.diag.message_primary}.",
                "Build the warehouse with `pbm build`.",
            ) from None
        except (psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege) as error:
            raise NotBuiltError(
                f"{query.name} does not fit the warehouse: {error.diag.message_primary}.",
                "The warehouse is older than the dashboards: run `pbm up`, then `pbm build`.",
            ) from None
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            said = str(error).strip().partition("\n")[0].rstrip(".")
            raise NoWarehouseError(
                f"{postgres.describe(self.dsn)} does not answer: {said or type(error).__name__}.",
                "Start the local stack with `pbm up`, or correct PBM_DASHBOARD_DSN.",
            ) from None
        except psycopg.Error as error:
            raise DataError(
                f"{query.name} failed: {error.diag.message_primary or type(error).__name__}.",
                "Reload the page; if it fails again, see the server's log.",
            ) from None

    def close(self) -> None:
        """Close the connections that are kept."""
        while not self._idle.empty():
            self._idle.get_nowait().close()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Row]]:
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = self._connect()
        try:
            yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError):
            # after a restart of the server the others are lost as well
            connection.close()
            self.close()
            raise
        except psycopg.Error:
            self._keep(connection)
            raise
        self._keep(connection)

    def _connect(self) -> psycopg.Connection[Row]:
        return psycopg.connect(
            self.dsn,
            row_factory=dict_row,
            autocommit=True,
            connect_timeout=5,
            application_name="pbm-dashboard",
            options="-c timezone=UTC",
        )

    def _keep(self, connection: psycopg.Connection[Row]) -> None:
        if self._idle.qsize() < _CONNECTIONS_KEPT:
            self._idle.put(connection)
        else:
            connection.close()


class BigQueryWarehouse:
    """BigQuery, as the application's own service account: it needs no more than to read.

    Args:
        settings: Project, location, prefix, and what a query may scan.
    """

    name = "BigQuery"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None

    def rows(self, query: Query, parameters: Mapping[str, Value]) -> list[Row]:
        """See ``Warehouse``."""
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError
        from google.cloud import bigquery

        kinds: dict[type, str] = {
            str: "STRING",
            bool: "BOOL",
            int: "INT64",
            Decimal: "NUMERIC",
            datetime: "TIMESTAMP",
            date: "DATE",
        }
        config = bigquery.QueryJobConfig(
            query_parameters=[
                bigquery.ScalarQueryParameter(name, kinds.get(type(value), "STRING"), value)
                for name, value in parameters.items()
            ],
            maximum_bytes_billed=self._settings.dashboard_max_bytes_billed,
            labels={"application": "pbm-dashboard"},
        )
        try:
            if self._client is None:
                self._client = bigquery.Client(
                    project=self._settings.google_cloud_project,
                    location=self._settings.bigquery_location,
                )
            sql = in_schemas(query.sql, self._settings.schema_prefix or "")
            return [dict(row) for row in self._client.query(sql, job_config=config).result()]
        except exceptions.NotFound:
            raise NotBuiltError(
                f"{query.name} needs a table or dataset that is not built.",
                "Run the DAG that builds the warehouse, and look at its log.",
            ) from None
        except (GoogleAuthError, exceptions.Forbidden, exceptions.Unauthorized) as error:
            raise NoWarehouseError(
                f"BigQuery lets nobody in with these credentials ({type(error).__name__}).",
                "Give the service account roles/bigquery.jobUser, and dataViewer on gold and "
                "serving.",
            ) from None
        except exceptions.GoogleAPIError as error:
            raise DataError(
                f"{query.name} failed on BigQuery ({type(error).__name__}).",
                "Reload the page; if it fails again, look at the job in the console.",
            ) from None
