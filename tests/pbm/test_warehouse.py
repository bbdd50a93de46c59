"""Migrations and roles on a real PostgreSQL."""

from pathlib import Path

import psycopg
import pytest

from pbm import warehouse
from pbm.errors import ConfigurationError
from tests.conftest import Platform


def test_migrations_are_applied_once(platform: Platform) -> None:
    assert warehouse.migrate(platform.dsn) == []
    names = platform.rows("select name from pbm_ops.schema_migrations order by name")
    files = sorted((Path(warehouse.__file__).parent / "migrations").glob("*.sql"))
    assert [row[0] for row in names] == [file.stem for file in files]


def test_an_applied_migration_that_was_changed_is_refused(platform: Platform) -> None:
    platform.execute("update pbm_ops.schema_migrations set sha256 = 'x' where name like '0002%'")
    with pytest.raises(ConfigurationError, match="0002_bronze was changed"):
        warehouse.migrate(platform.dsn)


ALLOWED = {
    ("pbm_loader", "insert into pbm_bronze.raw_orders (message_id) values ('x')"): None,
    ("pbm_loader", "select count(*) from pbm_gold.fact"): "schema pbm_gold",
    ("pbm_loader", "delete from pbm_bronze.raw_orders"): "raw_orders",
    ("pbm_loader", "update pbm_bronze.raw_orders set payload = ''"): "raw_orders",
    ("pbm_loader", "delete from pbm_bronze.dead_letter_orders"): "dead_letter_orders",
    ("pbm_transformer", "select count(*) from pbm_bronze.raw_orders"): None,
    ("pbm_transformer", "select count(*) from pbm_gold.fact"): None,
    ("pbm_transformer", "delete from pbm_bronze.raw_orders"): "raw_orders",
    ("pbm_transformer", "insert into pbm_bronze.raw_orders (message_id) values ('x')"): (
        "raw_orders"
    ),
    ("pbm_transformer", "create schema alice_pbm_gold"): None,
    ("pbm_reporter", "select count(*) from pbm_gold.fact"): None,
    ("pbm_reporter", "delete from pbm_gold.fact"): "fact",
    ("pbm_reporter", "select count(*) from pbm_silver.staged"): "schema pbm_silver",
    ("pbm_reporter", "select count(*) from pbm_bronze.raw_orders"): "schema pbm_bronze",
    ("pbm_reporter", "select count(*) from pbm_bronze.dead_letter_orders"): "schema pbm_bronze",
    ("pbm_reporter", "create table pbm_gold.mine (a int)"): "schema pbm_gold",
}


@pytest.fixture(scope="module")
def with_models(services: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A database in which dbt's role has built a table in silver and one in gold."""
    from tests.conftest import new_platform

    platform = new_platform(services, tmp_path_factory.mktemp("roles"))
    with warehouse.connect(platform.dsn, role=warehouse.TRANSFORMER) as connection:
        connection.execute("create table pbm_silver.staged (a int)")
        connection.execute("create table pbm_gold.fact (a int)")
    return platform


@pytest.mark.parametrize(("role", "statement"), ALLOWED)
def test_each_role_may_do_its_work_and_nothing_else(
    with_models: Platform, role: str, statement: str
) -> None:
    refused_for = ALLOWED[role, statement]
    refusal = ""
    with warehouse.connect(with_models.dsn, role=role) as connection:
        try:
            connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege as error:
            refusal = str(error)
        except psycopg.errors.NotNullViolation:
            pass  # it may insert, but not a row without an event
        connection.rollback()
    assert bool(refusal) == bool(refused_for), f"{role}: {statement}"
    assert (refused_for or "") in refusal


def test_a_role_that_is_missing_is_sent_to_pbm_up(services: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="has no role pbm_nobody"):
        warehouse.connect(services["postgres_dsn"], role="pbm_nobody")
