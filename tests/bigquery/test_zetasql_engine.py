"""The engine itself: what it refuses, and that values come back as they went in."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tests.bigquery.projects import PROJECT
from tests.bigquery.zetasql_engine import SqlError, Table, ZetaSql
from tests.bigquery.zetasql_warehouse import ZetaSqlBigQuery
from tests.conftest import PROJECT_ROOT

ORDERS = Table.of(
    {"order_id": "STRING", "placed_at": "TIMESTAMP", "copay": "NUMERIC(18, 2)"},
    [("a", datetime(2026, 3, 8, 7, 30, tzinfo=UTC), Decimal("2.35")), ("b", None, None)],
)
TABLES = {"p.d.orders": ORDERS}


@pytest.mark.parametrize(
    "sql",
    [
        "select order_id::text from `p.d.orders`",
        "select placed_at + interval '1 day' from `p.d.orders`",
        "select to_char(placed_at, 'YYYY') from `p.d.orders`",
        "select now()",
        "select order_id from `p.d.orders` where placed_at = date '2026-03-08'",
        'select order_id collate "C" from `p.d.orders`',
        "select order_id from `p.d.orders` where order_id ~ 'a'",
        "select distinct on (order_id) order_id from `p.d.orders`",
        "select count(*) filter (where copay > 0) from `p.d.orders`",
        "select order_id, count(*) from `p.d.orders`",
        "select order_id from `p.d.orders` union select order_id from `p.d.orders`",
        "select unknown from `p.d.orders`",
        "select order_id from `p.d.nowhere`",
        "create table `p`.`d`.`t` (a text) as (select 1 as a)",
    ],
)
def test_what_bigquery_would_refuse_is_refused(sql: str, engine: ZetaSql) -> None:
    with pytest.raises(SqlError):
        engine.analyze(sql, TABLES)


def test_values_come_back_as_they_went_in(engine: ZetaSql) -> None:
    columns = {
        "a_text": "STRING",
        "a_number": "NUMERIC",
        "a_long_number": "BIGNUMERIC",
        "an_instant": "TIMESTAMP",
        "a_day": "DATE",
        "a_truth": "BOOL",
        "an_integer": "INT64",
        "a_float": "FLOAT64",
        "some_bytes": "BYTES",
    }
    rows = [
        ("é 😀\n'\"\\", Decimal("-128.55"), Decimal("0.1") ** 30,
         datetime(1960, 1, 1, 0, 0, 0, 1, UTC), date(1, 1, 1), False, -(2**63), 0.1, b"\0\xff"),
        ("", Decimal("99999999999999999999999999999.999999999"), Decimal(-1) / 2**20,
         datetime(2100, 12, 31, 23, 59, 59, 999999, UTC), date(9999, 12, 31), True, 2**63 - 1, -0.0,
         b""),
        (None,) * 9,
    ]  # fmt: skip
    answer = engine.execute("select * from `p.d.t`", {"p.d.t": Table.of(columns, rows)})
    assert answer.columns == columns
    assert answer.rows == rows


def test_arrays_and_structs_come_back(engine: ZetaSql) -> None:
    answer = engine.execute("select [1, 2] as a, struct('x' as s, [struct(1 as i)] as l) as b", {})
    assert answer.columns == {
        "a": "ARRAY<INT64>",
        "b": "STRUCT<s STRING, l ARRAY<STRUCT<i INT64>>>",
    }
    assert answer.rows == [([1, 2], {"s": "x", "l": [{"i": 1}]})]


def test_bronze_is_what_bigquery_can_create(engine: ZetaSql) -> None:
    ddl = Path(PROJECT_ROOT, "infra/contract/bronze_bigquery.sql").read_text()
    statements = [one for one in ddl.split(";\n") if "CREATE" in one]
    assert len(statements) >= 2
    for statement in statements:
        assert engine.analyze(statement, {}).kind == "create_table"


MERGE = """
merge into `{p}`.`d`.`orders` as dest using (
    select 'b' as order_id, numeric '1.005' as copay union all select {other}, numeric '3'
) as src on ((src.order_id = dest.order_id))
when matched then update set `copay` = src.`copay`
when not matched then insert (`order_id`, `copay`) values (`order_id`, `copay`)
"""


def test_merge_and_delete_leave_what_bigquery_leaves(engine: ZetaSql) -> None:
    client = ZetaSqlBigQuery(engine, PROJECT)
    client.put("d.orders", ORDERS)
    assert client.query(MERGE.format(p=PROJECT, other="'c'")).num_dml_affected_rows == 2
    assert sorted(client.read("d.orders").rows) == [
        ("a", datetime(2026, 3, 8, 7, 30, tzinfo=UTC), Decimal("2.35")),
        ("b", None, Decimal("1.01")),  # rounded as the column is declared
        ("c", None, Decimal(3)),
    ]
    # where the condition is null, nothing is deleted
    client.query(
        f"delete from `{PROJECT}`.`d`.`orders` as orders"
        " where orders.placed_at < timestamp '2026-03-09 00:00:00+00:00'"
    )
    assert [row[0] for row in client.read("d.orders").rows] == ["b", "c"]


def test_two_rows_for_one_are_refused_by_a_merge(engine: ZetaSql) -> None:
    from google.api_core.exceptions import BadRequest

    client = ZetaSqlBigQuery(engine, PROJECT)
    client.put("d.orders", ORDERS)
    with pytest.raises(BadRequest, match="at most one source row"):
        client.query(MERGE.format(p=PROJECT, other="'b'"))
