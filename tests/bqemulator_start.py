"""Start the BigQuery emulator without its loaders of extensions, which would download them.

And with some of its rewrites mended, which fail on what dbt writes here: an option whose text holds
a bracket, a table with declared columns whose query is in brackets, the first value by an order,
and the length of `rpad`. Parameters of a query of several statements reach each of them.
"""

from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

import sqlglot
from bqemulator.cli import main
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.sql import translator
from bqemulator.sql.rewriter import alter_table_set_options, create_table_schema_ctas
from bqemulator.storage.engine import DuckDBEngine
from sqlglot import exp

_first_select = create_table_schema_ctas._first_select
_rewrite_aggregates = translator.rewrite_aggregate_variants
_apply_rules = translator.SQLTranslator._apply_rules


def last_bracket(sql: str, cursor: int) -> int | None:
    """Where the options end, whatever their texts hold."""
    start = sql.find("(", cursor)
    return None if start == -1 else sql.rfind(")")


def first_select(body: exp.Expression | None) -> exp.Select | None:
    """The first select of a query, in brackets or not."""
    found: exp.Select | None = _first_select(body if body is None else body.unnest())
    return found


def rewrite_aggregates(sql: str) -> str:
    """``array_agg(if(c, struct(v as value), null) ignore nulls order by o limit 1)[…].value``.

    The emulator takes the ordering for a part of the condition.
    """
    if "ignore nulls" not in sql.lower():
        return str(_rewrite_aggregates(sql))
    tree = sqlglot.parse_one(sql, dialect="bigquery")
    for dot in list(tree.find_all(exp.Dot)):
        bracket = dot.this
        aggregate = bracket.this.this if isinstance(bracket.this, exp.IgnoreNulls) else None
        if aggregate is None or not isinstance(aggregate.this, exp.Limit):
            continue
        order = aggregate.this.this
        condition = order.this.this
        value = order.this.args["true"].expressions[0].expression
        ordered = exp.Order(this=value, expressions=order.expressions)
        values = exp.Filter(this=exp.ArrayAgg(this=ordered), expression=exp.Where(this=condition))
        bracket.set("this", exp.Paren(this=values))
        dot.replace(bracket)
    return str(_rewrite_aggregates(tree.sql(dialect="bigquery")))


def apply_rules(self: object, sql: str, *, schema: dict[str, object] | None = None) -> str:
    """Its own rules, and `rpad` with the integer that DuckDB asks for."""
    done = str(_apply_rules(self, sql, schema=schema))
    if "RPAD(" not in done:
        return done
    tree = sqlglot.parse_one(done, dialect="duckdb")
    for pad in tree.find_all(exp.Pad):
        pad.set("expression", exp.cast(pad.expression, "INT"))
    return tree.sql(dialect="duckdb")


_run_query_body = executor._run_query_body
_bind_parameters = interpreter.bind_parameters
_parameters: ContextVar[list[dict[str, Any]] | None] = ContextVar("parameters", default=None)


async def run_query_body(*, query_params: list[dict[str, Any]] | None, **others: object) -> object:
    """A query; its parameters are kept for what binds them."""
    _parameters.set(query_params)
    return await _run_query_body(query_params=query_params, **others)


def bind_in_script(sql: str, _: object) -> tuple[str, list[Any]]:
    """The parameters of one of several statements, which the emulator forgets."""
    bound: tuple[str, list[Any]] = _bind_parameters(sql, _parameters.get())
    return bound


if __name__ == "__main__":
    with (
        patch.object(executor, "_run_query_body", run_query_body),
        patch.object(interpreter, "bind_parameters", bind_in_script),
        patch.object(DuckDBEngine, "_load_spatial"),
        patch.object(DuckDBEngine, "_load_format_extensions"),
        patch.object(alter_table_set_options, "_match_balanced_parens", last_bracket),
        patch.object(create_table_schema_ctas, "_first_select", first_select),
        patch.object(translator, "rewrite_aggregate_variants", rewrite_aggregates),
        patch.object(translator.SQLTranslator, "_apply_rules", apply_rules),
    ):
        main()
