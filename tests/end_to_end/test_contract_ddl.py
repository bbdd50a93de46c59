"""The migrations come to the tables of the contract."""

import psycopg

from ingestion import contract
from tests.conftest import Platform

_COLUMNS = """
select table_name, column_name, data_type, is_nullable, column_default
from information_schema.columns
where table_schema = %s
order by table_name, ordinal_position
"""


def test_migrated_bronze_is_what_the_contract_creates(platform: Platform) -> None:
    migrated = platform.rows(_COLUMNS, "pbm_bronze")
    with psycopg.connect(platform.dsn) as connection:
        connection.execute("create schema from_contract")
        ddl = contract.postgres_ddl().replace("pbm_bronze.", "from_contract.")
        connection.execute(ddl.encode())
    assert len(migrated) == sum(len(table.columns) for table in contract.TABLES)
    assert platform.rows(_COLUMNS, "from_contract") == migrated
