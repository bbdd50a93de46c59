"""Reading whole tables, to compare one state of the warehouse with another."""

from tests.conftest import Platform

# When a row was built or landed says nothing about what it says.
BOOKKEEPING = {"built_at", "source_built_at", "ingested_at"}


def tables(platform: Platform, *schemas: str, views: bool = False) -> list[str]:
    """The tables of some schemas, and their views if asked, in order."""
    found = platform.rows(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema = any(%s) and table_type = any(%s) order by 1",
        list(schemas),
        ["BASE TABLE", "VIEW"] if views else ["BASE TABLE"],
    )
    return [row[0] for row in found]


def contents(platform: Platform, table: str, *left_out: str) -> list[str]:
    """The rows of a table as text, sorted, without bookkeeping and the columns ``left_out``."""
    schema, _, name = table.partition(".")
    columns = platform.rows(
        "select column_name from information_schema.columns"
        " where table_schema = %s and table_name = %s order by ordinal_position",
        schema,
        name,
    )
    without = BOOKKEEPING.union(left_out)
    kept = ", ".join(f'"{row[0]}"' for row in columns if row[0] not in without)
    rows = platform.rows(f"select row({kept})::text from {table} order by 1")
    return [row[0] for row in rows]


def snapshot(platform: Platform, *schemas: str, views: bool = False) -> dict[str, list[str]]:
    """Every table of some schemas, and every view if asked, by name."""
    found = tables(platform, *schemas, views=views)
    return {table: contents(platform, table) for table in found}
