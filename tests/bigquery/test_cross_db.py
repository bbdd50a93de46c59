"""Every macro of `macros/cross_db`, with the same cases on PostgreSQL and on ZetaSQL."""

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bigquery.cross_db_cases import CASES, Case
from tests.bigquery.projects import Dbt, write_bigquery_profile
from tests.bigquery.zetasql_engine import ZetaSql
from tests.conftest import PROJECT_ROOT, Platform, new_platform

_BETWEEN = "\n-- the next case\n"


class Compiled:
    """The cases in the words of both warehouses, and where to run them."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.dsn = platform.dsn
        (folder / "bigquery").mkdir()
        write_bigquery_profile(folder / "bigquery")
        self.postgres = _compile(Dbt(folder / "postgres", platform.home, "local"))
        self.bigquery = _compile(Dbt(folder / "bigquery", folder / "bigquery", "prod"))


def _compile(dbt: Dbt) -> list[str]:
    text = _BETWEEN.join(case.sql for case in CASES)
    offline = ("--no-populate-cache", "--no-introspect", "--vars", "{compile_is_incremental: true}")
    result = dbt.invoke("compile", *offline, "--inline", text)
    assert result.success, result.exception
    compiled: str = result.result[0].node.compiled_code
    return compiled.split(_BETWEEN.rstrip("\n"))


@pytest.fixture(scope="module")
def compiled(services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("cross_db")
    return Compiled(new_platform(services, folder), folder)


def names() -> list[str]:
    numbers: Counter[str] = Counter()
    found = []
    for case in CASES:
        numbers[case.macro] += 1
        found.append(f"{case.macro}-{numbers[case.macro]}")
    return found


@pytest.mark.parametrize(("place", "case"), enumerate(CASES), ids=names())
def test_a_macro_gives_the_same_on_both(
    place: int, case: Case, compiled: Compiled, engine: ZetaSql
) -> None:
    expected = Counter(case.rows)
    bigquery = engine.execute(compiled.bigquery[place], {}).rows
    assert Counter(bigquery) == expected, f"BigQuery:\n{compiled.bigquery[place]}"
    with psycopg.connect(compiled.dsn, options="-c timezone=America/New_York") as connection:
        fetched = connection.execute(compiled.postgres[place].encode()).fetchall()
    postgres = [tuple(map(in_utc, row)) for row in fetched]
    assert Counter(postgres) == expected, f"PostgreSQL:\n{compiled.postgres[place]}"


def in_utc(value: Any) -> Any:
    """An instant of the session's time zone in UTC: two of autumn's are equal to no other."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def test_every_macro_has_a_case() -> None:
    macros = {
        name
        for file in Path(PROJECT_ROOT, "macros/cross_db").glob("*.sql")
        for name in re.findall(r"{%-? macro (\w+)\(", file.read_text())
        if not re.match("postgres__|bigquery__|default__", name)
    }
    assert len(macros) > 30
    assert macros == {case.macro for case in CASES}
