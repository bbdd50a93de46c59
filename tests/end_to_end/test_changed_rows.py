"""Data tests look at what changed since a build whose tests passed, or at everything."""

from typing import Any

import pytest

from tests.conftest import Platform, new_platform
from tests.end_to_end.test_arrival_order import DbtInProcess

EVERYTHING = ("--vars", "{test_everything: true}")


@pytest.fixture(scope="module")
def tested(
    services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Platform, DbtInProcess]:
    """Orders that a build has tested, and some that came after it."""
    folder = tmp_path_factory.mktemp("changed")
    platform = new_platform(services, folder)
    dbt = DbtInProcess(platform)
    dbt.run("seed")
    for seed, options in ((1, ("--vars", "{serving_watermark_moves: true}")), (2, ())):
        file = folder / f"{seed}.jsonl"
        generate = ("generate", "orders", "--orders", "20", "--seed", str(seed))
        platform.pbm(*generate, "--to", str(file))
        platform.ingest(file)
        dbt.run("run", *options)
    return platform, dbt


def failures(dbt: DbtInProcess, model: str, *options: str) -> set[str]:
    """Names of the data tests of a model that fail."""
    results = dbt.results(
        "test", "--select", model, "--exclude-resource-type", "unit_test", *options
    )
    assert len(results) > 3
    # a hook that ran is a success
    return {name for name, status in results.items() if status not in {"pass", "success"}}


def test_a_broken_row_is_found_where_it_changed_and_anywhere_by_a_test_of_everything(
    tested: tuple[Platform, DbtInProcess],
) -> None:
    platform, dbt = tested
    assert failures(dbt, "cleaned_orders_table", *EVERYTHING) == set()
    built = "select source_built_at from pbm_silver.cleaned_orders_table"
    ends = {"old": "order by 1", "new": "order by 1 desc"}
    found = {}
    for which, ordering in ends.items():
        update = (
            "update pbm_silver.cleaned_orders_table set current_status = '{}' where order_id = ("
            f"select order_id from pbm_silver.cleaned_orders_table where source_built_at = ({built}"
            f" {ordering} limit 1) order by order_id limit 1)"
        )
        kept = platform.value(
            "select current_status from pbm_silver.cleaned_orders_table where source_built_at = ("
            f"{built} {ordering} limit 1) order by order_id limit 1"
        )
        platform.execute(update.format("nonsense"))
        found[which] = failures(dbt, "cleaned_orders_table")
        found[f"{which}, everything"] = failures(dbt, "cleaned_orders_table", *EVERYTHING)
        platform.execute(update.format(kept))
    assert found["old"] == set()
    for which in ("old, everything", "new", "new, everything"):
        (failed,) = found[which]
        assert failed.startswith("accepted_values_cleaned_orders_table_current_status")


def test_a_key_that_changed_is_compared_with_all_keys(
    tested: tuple[Platform, DbtInProcess],
) -> None:
    """A row that is written twice, once long ago."""
    platform, dbt = tested
    ((index,),) = platform.rows(
        "select indexname from pg_indexes where schemaname = 'pbm_silver'"
        " and tablename = 'cleaned_orders_table' and indexdef like '%UNIQUE%'"
    )
    platform.execute(
        f'drop index pbm_silver."{index}";'
        "create temporary table written as select * from pbm_silver.cleaned_orders_table"
        " order by source_built_at limit 1;"
        "update written set source_built_at = clock_timestamp();"
        "insert into pbm_silver.cleaned_orders_table select * from written"
    )
    assert failures(dbt, "cleaned_orders_table") >= {"unique_cleaned_orders_table_order_id"}


def test_an_event_that_silver_lost_is_missed(tested: tuple[Platform, DbtInProcess]) -> None:
    platform, dbt = tested
    name = "every_received_event_is_staged_once"
    assert name not in failures(dbt, "stg_order_events")
    platform.execute(
        "delete from pbm_silver.stg_order_events where event_id = (select event_id from"
        " pbm_silver.stg_order_events order by ingested_at desc limit 1)"
    )
    assert name in failures(dbt, "stg_order_events")
