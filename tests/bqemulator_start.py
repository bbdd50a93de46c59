"""Start the BigQuery emulator without its loaders of extensions, which would download them.

And with two of its rewrites mended, which fail on what dbt writes: an option whose text holds a
bracket, and a table with declared columns whose query is in brackets.
"""

from unittest.mock import patch

from bqemulator.cli import main
from bqemulator.sql.rewriter import alter_table_set_options, create_table_schema_ctas
from bqemulator.storage.engine import DuckDBEngine
from sqlglot import exp

_first_select = create_table_schema_ctas._first_select


def last_bracket(sql: str, cursor: int) -> int | None:
    """Where the options end, whatever their texts hold."""
    start = sql.find("(", cursor)
    return None if start == -1 else sql.rfind(")")


def first_select(body: exp.Expression | None) -> exp.Select | None:
    """The first select of a query, in brackets or not."""
    found: exp.Select | None = _first_select(body if body is None else body.unnest())
    return found


if __name__ == "__main__":
    with (
        patch.object(DuckDBEngine, "_load_spatial"),
        patch.object(DuckDBEngine, "_load_format_extensions"),
        patch.object(alter_table_set_options, "_match_balanced_parens", last_bracket),
        patch.object(create_table_schema_ctas, "_first_select", first_select),
    ):
        main()
