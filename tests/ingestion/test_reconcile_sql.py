"""The queries of reconciliation in BigQuery's words, under Google's own analyser."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from ingestion.reconcile import BIGQUERY, POSTGRES, queries

# The columns that the queries name, as BigQuery has them
TABLES = {
    "pbm_bronze": {
        "raw_orders": {
            "message_id": "STRING",
            "event_id": "STRING",
            "event_type": "STRING",
            "publish_time": "TIMESTAMP",
            "ingested_at": "TIMESTAMP",
        },
        "dead_letter_orders": {
            "message_id": "STRING",
            "error_type": "STRING",
            "attributes": "JSON",
            "replay_count": "INT64",
        },
    },
    "pbm_ops": {
        "ingest_runs": {
            "source": "STRING",
            "messages_read": "INT64",
            "accepted": "INT64",
            "already_there": "INT64",
            "dead_letters": "INT64",
        },
        "replays": {"message_id": "STRING", "replay_of": "STRING"},
    },
    "pbm_speed": {
        "live_order_metrics": {
            "window_start": "TIMESTAMP",
            "event_type": "STRING",
            "event_count": "INT64",
        }
    },
    "pbm_silver": {"stg_order_events": {"event_id": "STRING", "ingested_at": "TIMESTAMP"}},
}


@pytest.fixture(scope="module")
def analyse(request: pytest.FixtureRequest) -> Any:
    """The analyser; compiling it takes half a minute, so what comes of that is kept."""
    import wasmtime

    compile_module = wasmtime.Module.from_file

    def from_file(engine: Any, path: str) -> Any:
        cache = request.config.cache
        assert cache is not None
        kept = cache.mkdir("zetasql") / f"{version('wasmtime')}-{Path(path).stat().st_size}"
        if not kept.exists():
            draft = kept.with_suffix(".draft")
            draft.write_bytes(compile_module(engine, path).serialize())
            draft.replace(kept)
        return wasmtime.Module.deserialize_file(engine, str(kept))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wasmtime.Module, "from_file", staticmethod(from_file))
        yield _analyser()


def _analyser() -> Any:
    from zetasql.api import Analyzer, TableBuilder
    from zetasql.api.type_factory import TypeFactory
    from zetasql.types import (
        AnalyzerOptions,
        LanguageOptions,
        ProductMode,
        SimpleCatalog,
        TypeKind,
        ZetaSQLBuiltinFunctionOptions,
    )

    def table(name: str, columns: dict[str, str]) -> Any:
        builder = TableBuilder(name)
        for column, kind in columns.items():
            builder.add_column(column, TypeFactory.create_simple_type(TypeKind[f"TYPE_{kind}"]))
        return builder.build()

    language = LanguageOptions.maximum_features()
    language.product_mode = ProductMode.PRODUCT_EXTERNAL
    datasets = [
        SimpleCatalog(name=dataset, table=[table(name, columns) for name, columns in held.items()])
        for dataset, held in TABLES.items()
    ]
    tables = table("TABLES", {"table_schema": "STRING", "table_name": "STRING"})
    datasets[-1].catalog = [SimpleCatalog(name="INFORMATION_SCHEMA", table=[tables])]
    catalog = SimpleCatalog(
        name="bigquery",
        catalog=datasets,
        builtin_function_options=ZetaSQLBuiltinFunctionOptions(language_options=language),
    )
    options = AnalyzerOptions(language_options=language, default_timezone="UTC")
    return Analyzer(options, catalog).analyze_statement


@pytest.mark.parametrize("name", queries(BIGQUERY))
def test_bigquery_understands_the_query(name: str, analyse: Any) -> None:
    analyse(queries(BIGQUERY)[name])


def test_what_only_postgresql_understands_is_refused(analyse: Any) -> None:
    """The analyser can say no."""
    with pytest.raises(Exception, match=r"(?i)date_trunc|collate|argument"):
        analyse(queries(POSTGRES)["minutes_that_differ"])
