"""BigQuery's EXTERNAL_QUERY, which ZetaSQL does not know: its columns are what another database
makes of a text.

Exactly that call is replaced by a table that holds the answer, and nothing else of a statement.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg

from tests.bigquery.zetasql_engine import Cell, Table

_CALL = re.compile(r"external_query\(\s*'(?P<connection>[^']*)',\s*'(?P<query>[^']*)'\s*\)")

# What Google's documentation says that BigQuery makes of PostgreSQL's types.
_TYPES = {"int4": "INT64", "int8": "INT64", "text": "STRING", "timestamptz": "TIMESTAMP"}


def replaced(sql: str, answer: Callable[[str, str], str]) -> str:
    """A statement without a call.

    Args:
        sql: The statement.
        answer: From a call's connection and query to what stands in its place.
    """
    without = _CALL.sub(lambda call: answer(call["connection"], call["query"]), sql)
    assert "external_query" not in without.lower(), "a call of another form"
    return without


def run(dsn: str, query: str) -> Table:
    """What PostgreSQL answers to a federated query, with the rights of dbt's role there."""
    with psycopg.connect(dsn, options="-c timezone=UTC") as connection:
        connection.execute("set role pbm_transformer")
        connection.execute("set transaction read only")
        cursor = connection.execute(query.encode())
        columns = {
            column.name: _TYPES[psycopg.adapters.types[column.type_code].name]
            for column in cursor.description or ()
        }
        return Table.of(columns, [tuple(map(_plain, row)) for row in cursor])


def _plain(value: Any) -> Cell:
    assert value is None or isinstance(value, str | int | datetime)
    return value
