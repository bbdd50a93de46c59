"""The rules of the dbt project, held against what dbt itself says of it.

Those of dbt-labs' project evaluator are written out here: its package cannot be installed without
the package hub. Every exception stands in ``EXCEPTIONS`` and, with its reason, in
docs/decisions.md; one that is no longer needed turns its rule red too.
"""

import copy
import csv
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pbm import data_dictionary, dbt_manifest, privacy
from pbm.errors import CheckFailedError
from pbm.running import program
from tests.conftest import PROJECT_ROOT

EXCEPTIONS: Mapping[str, set[str]] = {
    "a source without freshness": {"pbm_bronze.dead_letter_orders"},
    "a source that several models read": {"pbm_bronze.raw_orders"},
    "a model that reads a source and a model": {
        "stg_arriving_order_events",
        "stg_replaced_order_events",
    },
    "a view behind an exposure": {
        "order_activity_by_minute",
        "order_events_now",
        "order_status_now",
        "serving_dead_letters",
        "serving_status",
        "survey_satisfaction_daily",
    },
    "a model with many parents": {"serving_watermark"},
    "a table that is read whole": {
        "serving_status.ingestion_reconciliation",
        "serving_status.serving_watermark",
    },
}


class Project(NamedTuple):
    """What dbt says of the project, and where."""

    local: Mapping[str, Any]
    prod: Mapping[str, Any]
    artifacts: Path

    def of(self, *kinds: str) -> Iterator[dict[str, Any]]:
        """The project's own nodes of some kinds."""
        for part in ("nodes", "sources", "exposures", "macros", "docs"):
            for node in self.local[part].values():
                if node["resource_type"] in kinds and node["package_name"] == dbt_manifest.PROJECT:
                    yield node

    def parents(self, node: Mapping[str, Any], *kinds: str) -> set[str]:
        """The names of what a node reads."""
        ids = set(node["depends_on"]["nodes"])
        return {name(self.node(one)) for one in ids if self.node(one)["resource_type"] in kinds}

    def node(self, unique_id: str) -> dict[str, Any]:
        """A node by its id."""
        found = self.local["sources" if unique_id.startswith("source.") else "nodes"][unique_id]
        assert isinstance(found, dict)
        return found

    def tests_of(self, node: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The generic data tests of a table."""
        for test in self.of("test"):
            # a test of a source is attached to no node: the source is all that it reads
            if test.get("test_metadata") and node["unique_id"] == (
                test["attached_node"] or test["depends_on"]["nodes"][0]
            ):
                yield test


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("project")
    return Project(
        local=dbt_manifest.read("local"),
        prod=dbt_manifest.read("prod", folder / "target"),
        artifacts=folder,
    )


def name(node: Mapping[str, Any]) -> str:
    """A node's name; a source's with its schema."""
    if node["resource_type"] == "source":
        return f"{node['source_name']}.{node['name']}"
    return str(node["name"])


def test_the_project_has_all_kinds_of_nodes(project: Project) -> None:
    """The other tests say that no node breaks a rule: there must be some."""
    kinds = ("source", "seed", "model", "test", "exposure", "macro", "doc")
    assert {kind: sum(1 for _ in project.of(kind)) > 0 for kind in kinds} == dict.fromkeys(
        kinds, True
    )


def test_dbt_bouncer_finds_nothing(project: Project) -> None:
    assert bouncer(project.artifacts, "manifest_checks") > 1000, "nearly nothing was checked"


def bouncer(folder: Path, checks: str) -> int:
    """Run some of dbt-bouncer's checks on the artifacts in ``folder``/target; how many passed."""
    report = folder / "bouncer.json"
    done = subprocess.run(
        [
            *(program("dbt-bouncer"), "run", "--only", checks, "--output-only-failures"),
            *("--output-file", str(report), "--output-format", "json"),
        ],
        env={**os.environ, "DBT_PROJECT_DIR": str(folder)},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    failures = json.loads(report.read_text()) if report.exists() else []
    assert [failure["failure_message"] for failure in failures] == []
    assert done.returncode == 0, done.stdout + done.stderr
    (passed, warned, failed) = re.findall(r"SUCCESS=(\d+) WARN=(\d+) ERROR=(\d+)", done.stdout)[0]
    assert (int(warned), int(failed)) == (0, 0)
    return int(passed)


def test_the_data_dictionary_is_as_the_project_says(project: Project) -> None:
    text = data_dictionary.render(project.local, project.prod)
    assert not data_dictionary.stale(text), "run `pbm dictionary write`"
    for node in project.of("source", "seed", "model"):
        assert f"### `{node['schema']}.{node['name']}`" in text
    types = {
        (table.name, column.name): column.type
        for table in data_dictionary.tables(project.local, project.prod)
        for column in table.columns
    }
    assert [place for place, words in types.items() if not words.strip("` /")] == []


# ------------------------------------------------------------------------ modelling


def test_only_staging_reads_a_source(project: Project) -> None:
    readers = {name(model) for model in project.of("model") if project.parents(model, "source")}
    assert {reader for reader in readers if not reader.startswith("stg_")} == set()


def test_every_staging_model_reads_one_source(project: Project) -> None:
    counts = {
        name(model): len(project.parents(model, "source"))
        for model in project.of("model")
        if name(model).startswith("stg_")
    }
    assert {model for model, count in counts.items() if count != 1} == set()


def test_a_model_reads_a_source_or_models(project: Project) -> None:
    both = {
        name(model)
        for model in project.of("model")
        if project.parents(model, "source") and project.parents(model, "model")
    }
    assert both == EXCEPTIONS["a model that reads a source and a model"]


def test_a_source_is_read_by_one_model(project: Project) -> None:
    readers = Counter(
        source for model in project.of("model") for source in project.parents(model, "source")
    )
    sources = {name(source) for source in project.of("source")}
    assert sources - set(readers) == set(), "a source that nothing reads"
    several = {source for source, count in readers.items() if count > 1}
    assert several == EXCEPTIONS["a source that several models read"]


def test_no_two_sources_are_one_table(project: Project) -> None:
    tables = [f"{source['schema']}.{source['identifier']}" for source in project.of("source")]
    assert len(set(tables)) == len(tables)


def test_every_model_reads_something(project: Project) -> None:
    roots = {name(model) for model in project.of("model") if not model["depends_on"]["nodes"]}
    assert roots == set()


def test_every_seed_is_read(project: Project) -> None:
    read = {
        seed
        for node in project.of("model", "test")
        for seed in project.parents(node, "seed")
        if node["resource_type"] == "model" or not node.get("test_metadata")
    }
    assert {name(seed) for seed in project.of("seed")} - read == set()


def test_no_model_has_many_parents(project: Project) -> None:
    many = {
        name(model) for model in project.of("model") if len(project.parents(model, "model")) > 7
    }
    assert many == EXCEPTIONS["a model with many parents"]


def test_no_table_that_grows_is_read_whole(project: Project) -> None:
    """PostgreSQL computes a CTE that is named twice as a whole, unless it is told to inline it."""
    models = {name(model): model for model in project.of("model")}
    found = {
        f"{reader}.{table}"
        for reader, model in models.items()
        for _, table in whole_tables(model["raw_code"])
        if table in models
    }
    assert found == EXCEPTIONS["a table that is read whole"]


def whole_tables(code: str) -> Iterator[tuple[str, str]]:
    """CTEs of a whole table that are named more than once, with the table."""
    for cte, table in re.findall(
        r"^(\w+) as \(\s+select \* from \{\{ ref\('(\w+)'\) \}\}\s+\)", code, re.MULTILINE
    ):
        if len(re.findall(rf"(?:from|join) {cte}\b|'{cte}'", code)) > 1:
            yield cte, table


def test_a_table_that_is_read_whole_is_seen() -> None:
    cte = "events as {}(\n\n    select * from {{{{ ref('stg') }}}}\n\n)\nselect 1 from events"
    twice = cte + " union all select 2 from events"
    assert list(whole_tables(twice.format(""))) == [("events", "stg")]
    assert list(whole_tables(twice.format("{{ inlined() }}"))) == []
    assert list(whole_tables(cte.format(""))) == []


def test_no_relation_is_named_in_sql(project: Project) -> None:
    nodes = [node for node in project.of("model") if node["language"] == "sql"]
    nodes += [node for node in project.of("test") if not node.get("test_metadata")]
    found = {name(node): hard_coded(node["raw_code"]) for node in nodes}
    assert {place: names for place, names in found.items() if names} == {}


def hard_coded(sql: str) -> set[str]:
    """What stands after ``from`` or ``join`` and is neither templated nor a CTE of the text."""
    # a template may give the steps their names: then these are among its words
    is_templated = re.search(r"\{\{\s*\w+\s*\}\}\s+as\s+\(", sql) is not None
    templates = " ".join(re.findall(r"\{%.*?%\}", sql, flags=re.DOTALL))
    words = set(re.findall(r"'(\w+)'", templates)) if is_templated else set()
    sql = re.sub(r"\{#.*?#\}|--[^\n]*|'[^'\n]*'", " ", sql, flags=re.DOTALL)
    sql = re.sub(r"\bdistinct\s+from\b|\bextract\s*\([^)]*\)", " ", sql, flags=re.IGNORECASE)
    steps = {step.lower() for step in re.findall(r"\b(\w+)\s+as\s+(?:\{\{[^}]*\}\}\s*)?\(", sql)}
    steps |= words
    named = re.findall(r"\b(?:from|join)\s+([\w\".`]+)", sql, flags=re.IGNORECASE)
    # a step's array, unnested, is written as step.column
    return {table for table in named if table.split(".")[0].lower().strip('"`') not in steps}


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select * from pbm_bronze.raw_orders", {"pbm_bronze.raw_orders"}),
        ("with a as (select 1) select * from a left join other on true", {"other"}),
        ("select * from {{ ref('a') }} where b is distinct from c", set()),
        ("with a as (select 1) select * from a -- from b", set()),
        ("{% for n in ['a'] %} {{ n }} as ( {% endfor %} from a left join b", {"b"}),
    ],
)
def test_a_relation_that_is_named_in_sql_is_seen(sql: str, found: set[str]) -> None:
    assert hard_coded(sql) == found


# ---------------------------------------------------------------------------- tests


def test_every_table_has_a_tested_key(project: Project) -> None:
    without = set()
    for node in project.of("model", "seed", "source"):
        tests = list(project.tests_of(node))
        unique = {test["column_name"] for test in tests if kind(test) == "unique"}
        present = {test["column_name"] for test in tests if kind(test) == "not_null"}
        for test in tests:
            if kind(test) == "no_missing_values":
                present.update(test["test_metadata"]["kwargs"]["columns"])
        # it groups rows, and so takes two nulls for the same
        combined = [test for test in tests if kind(test) == "unique_combination"]
        if not (unique & present or combined):
            without.add(name(node))
    assert without == set()


def kind(test: Mapping[str, Any]) -> str:
    return str(test["test_metadata"]["name"])


def test_every_key_of_a_dimension_is_followed_from_the_facts(project: Project) -> None:
    keys = {"patient_key", "ndc11", "payer_id", "pharmacy_id", "carrier_id"}
    missing = set()
    for model in project.of("model"):
        if not name(model).startswith("fact_"):
            continue
        followed = {
            test["column_name"] for test in project.tests_of(model) if kind(test) == "relationships"
        }
        missing |= {f"{name(model)}.{key}" for key in (keys & set(model["columns"])) - followed}
    assert missing == set()


def test_every_source_has_freshness(project: Project) -> None:
    # without any, dbt still gives the limits' names
    without = {
        name(source)
        for source in project.of("source")
        if not all(
            ((source["freshness"] or {}).get(limit) or {}).get("count")
            for limit in ("warn_after", "error_after")
        )
    }
    assert without == EXCEPTIONS["a source without freshness"]
    for source in project.of("source"):
        assert source["loaded_at_field"] or source["loaded_at_query"], name(source)


# -------------------------------------------------------------------- documentation


def test_everything_is_described(project: Project) -> None:
    without = [
        name(node)
        for node in project.of("model", "seed", "source", "exposure")
        if not node["description"].strip()
    ]
    without += [
        source["source_name"]
        for source in project.of("source")
        if not source["source_description"].strip()
    ]
    without += [
        f"{name(node)}.{column['name']}"
        for node in project.of("model", "seed", "source")
        for column in node["columns"].values()
        if not column["description"].strip()
    ]
    without += [
        group["name"]
        for group in project.local["groups"].values()
        if not (group["description"] or "").strip() or not group["owner"].get("email")
    ]
    # a singular test begins with what it says, for whoever sees it fail
    without += [
        test["name"]
        for test in project.of("test")
        if not test.get("test_metadata") and not test["raw_code"].startswith(("-- ", "{#-"))
    ]
    assert without == []


def test_every_column_of_a_seed_is_described_and_no_other(project: Project) -> None:
    for seed in project.of("seed"):
        with (PROJECT_ROOT / seed["original_file_path"]).open(newline="") as file:
            header = next(csv.reader(file))
        assert list(seed["columns"]) == header, name(seed)
        assert list(seed["config"]["column_types"]) == header, name(seed)


def test_every_macro_is_described_with_the_types_of_its_arguments(project: Project) -> None:
    wrong = []
    for macro in project.of("macro"):
        if re.match(r"(postgres|bigquery|default)__", macro["name"]):
            continue  # one warehouse's form of a macro that is described
        stated = [argument["name"] for argument in macro["arguments"]]
        if (
            not macro["description"].strip()
            or stated != parameters(macro)
            or not all(argument["type"] for argument in macro["arguments"])
            or not all(argument["description"].strip() for argument in macro["arguments"])
        ):
            wrong.append(f"{macro['name']}: {stated}, {parameters(macro)}")
    assert wrong == []


def parameters(macro: Mapping[str, Any]) -> list[str]:
    """The names in a macro's first line."""
    (inner,) = re.findall(
        r"\{%-?\s*(?:macro|test)\s+\w+\s*\((.*?)\)\s*-?%\}", macro["macro_sql"], flags=re.DOTALL
    )[:1] or [""]  # a materialization has none
    names = [part.partition("=")[0].strip() for part in re.split(r",(?![^\[(]*[\])])", inner)]
    return [one for one in names if one]


def test_every_macro_is_used(project: Project) -> None:
    texts = [macro["macro_sql"] for macro in project.of("macro")]
    texts += [node["raw_code"] for node in project.of("model", "test", "seed")]
    texts += [(PROJECT_ROOT / "dbt_project.yml").read_text()]
    said = Counter(word for text in texts for word in re.findall(r"\w+", text))
    said.update(kind(test) for test in project.of("test") if test.get("test_metadata"))
    # dbt itself calls these
    called = {
        *("generate_schema_name", "get_where_subquery", "is_incremental"),
        "materialization_view_postgres",
    }
    unused = {
        macro["name"]
        for macro in project.of("macro")
        if "__" not in macro["name"]
        and macro["name"] not in called
        and said[macro["name"].removeprefix("test_")] < 2
    }
    # value rules are called by the name that `order_event_fields` gives
    assert unused == set()


def test_every_doc_block_is_read(project: Project) -> None:
    folders = ("models", "seeds", "macros", "tests")
    texts = [
        path.read_text()
        for folder in folders
        for path in (PROJECT_ROOT / folder).rglob("*")
        if path.suffix in {".yml", ".md"}
    ]
    read = {word for text in texts for word in re.findall(r"doc\('(\w+)'\)", text)}
    blocks = {name(block) for block in project.of("doc")}
    # dbt shows the overview; metrics are read from the manifest by whoever shows one
    unread = {
        block for block in blocks - read if block != "__overview__" and "metric_" not in block
    }
    assert unread == set()


METRIC = re.compile(
    r"\*\*(?P<name>[^*]+)\.\*\* (?P<what>.+?)\n\n- Formula: (?P<formula>.+)"
    r"\n- Read from: (?P<read_from>.+)\n- Target: (?P<target>.+)\n- Target from: (?P<source>.+)"
)


def test_every_metric_says_its_formula_source_and_target(project: Project) -> None:
    columns = {name(node): set(node["columns"]) for node in project.of("model", "seed")}
    metrics = [block for block in project.of("doc") if name(block).startswith("metric_")]
    assert len(metrics) > 10
    for block in metrics:
        found = METRIC.fullmatch(block["block_contents"].strip())
        assert found, name(block)
        places = re.findall(r"`(\w+)\.(\w+)`", found["read_from"] + found["source"])
        assert places, name(block)
        for table, column in places:
            assert column in columns[table], f"{name(block)}: {table}.{column}"
        assert re.match(r"(ours|sourced|nobody)\b", found["source"]), name(block)


def test_the_site_has_an_overview(project: Project) -> None:
    (overview,) = [doc for doc in project.of("doc") if name(doc) == "__overview__"]
    known = {name(node) for node in project.of("model", "source")}
    known |= {one.partition(".")[2] for one in known if "." in one}
    known |= {"pbm_" + layer for layer in ("bronze", "speed", "seeds", "silver", "gold", "serving")}
    known |= {"survey_data"}
    named = set(re.findall(r"`([a-z_]+)`", overview["block_contents"]))
    assert named - known == set()
    assert {"fact_order_lifecycle", "order_status_now"} <= named


def test_descriptions_reach_the_warehouse(project: Project) -> None:
    wanted = {"relation": True, "columns": True}
    silent = {
        name(node)
        for node in project.of("model", "seed")
        if node["config"]["persist_docs"] != wanted
    }
    assert silent == set()


# ---------------------------------------------------------------------- governance


def test_public_models_have_contracts_and_owners(project: Project) -> None:
    for model in project.of("model"):
        assert model["config"]["contract"]["enforced"], name(model)
        assert model["group"] in {"data_platform", "analytics"}, name(model)
        is_public = model["schema"] in {"pbm_gold", "pbm_serving", "survey_data"}
        assert model["access"] == ("public" if is_public else "protected"), name(model)


def test_names_say_what_a_model_is(project: Project) -> None:
    patterns = {
        "pbm_silver": r"stg_\w+|cleaned_orders_table",
        "pbm_gold": r"(dim|fact)_\w+|\w+_daily|daily_\w+|order_alerts|ingestion_reconciliation",
        "pbm_serving": r"(order|serving)_\w+",
        "survey_data": r"survey_\w+",
    }
    wrong = {
        name(model)
        for model in project.of("model")
        if not re.fullmatch(patterns[model["schema"]], name(model))
    }
    assert wrong == set()


def test_files_lie_where_their_models_belong(project: Project) -> None:
    for model in project.of("model"):
        layer = model["schema"].removeprefix("pbm_").replace("survey_data", "reporting")
        assert model["original_file_path"].startswith(f"models/{layer}/"), name(model)
        assert Path(model["original_file_path"]).stem == name(model)
        described = model["patch_path"].partition("://")[2]
        assert described == model["original_file_path"].removesuffix(".sql") + ".yml"
    for source in project.of("source"):
        assert source["original_file_path"].startswith("models/bronze/"), name(source)


PHI = re.compile(r"payload.*|attributes|patient_id|.*_name|email|phone|address|zip5?|birth_date")


def test_every_column_has_a_class_and_what_names_a_patient_stays_in_bronze(
    project: Project,
) -> None:
    found = privacy.Privacy(project.local, privacy.read_roles())  # which raises if not
    assert privacy.stale(privacy.files(project.local)) == [], "run `pbm privacy write`"
    assert sum(len(table.columns) for table in found.tables.values()) > 500
    for source in project.of("source"):
        direct = {
            column["name"]
            for column in source["columns"].values()
            if privacy.class_of(column) == privacy.DIRECT
        }
        assert {one for one in source["columns"] if PHI.fullmatch(one)} <= direct, name(source)
        assert bool(source["config"]["meta"].get("contains_phi")) is bool(direct), name(source)
    for model in project.of("model"):
        if not name(model).startswith("dim_"):  # names of drugs and payers, not of patients
            found_names = {column for column in model["columns"] if PHI.fullmatch(column)}
            assert found_names <= {"drug_name"}, name(model)
        assert not model["config"]["meta"].get("contains_phi"), name(model)


def test_a_column_says_the_same_of_a_patient_wherever_rows_are_about_one(project: Project) -> None:
    classes: dict[str, set[str]] = {}
    for node in project.of("source", "model"):
        if {"order_id", "patient_key"} & set(node["columns"]):
            for column in node["columns"].values():
                classes.setdefault(column["name"], set()).add(privacy.class_of(column))
    assert {column: kinds for column, kinds in classes.items() if len(kinds) > 1} == {}


@pytest.mark.parametrize(
    ("table", "column", "kind", "problem"),
    [
        ("model.{}.fact_order_events", "lot_number", None, "lot_number has no class"),
        ("seed.{}.payers", "payer_name", "secret", "payer_name has the class 'secret'"),
        ("model.{}.order_alerts", "explanation", "direct_identifier", "identifier outside bronze"),
    ],
)
def test_a_class_that_is_missing_or_misplaced_is_an_error(
    project: Project, table: str, column: str, kind: str | None, problem: str
) -> None:
    broken = copy.deepcopy(project.local["nodes"])
    meta = broken[table.format(dbt_manifest.PROJECT)]["columns"][column]["config"]["meta"]
    meta["privacy"] = kind
    with pytest.raises(CheckFailedError, match=problem):
        privacy.Privacy({**project.local, "nodes": broken}, privacy.read_roles())


def test_nobody_reads_what_names_a_patient_but_who_has_to(project: Project) -> None:
    found = privacy.Privacy(project.local, privacy.read_roles())
    readers = {
        role
        for role in found.roles
        for table, columns in found.readable(role).items()
        if any(found.tables[table].columns[one] == privacy.DIRECT for one in columns)
    }
    assert readers == {"pbm_loader", "pbm_transformer", "pbm_privacy_officer"}


def test_exposures_stand_on_gold_and_serving(project: Project) -> None:
    views = set()
    for exposure in project.of("exposure"):
        assert exposure["owner"]["name"]
        assert exposure["owner"]["email"]
        assert exposure["config"]["meta"]["contains_phi"] is False
        assert exposure["depends_on"]["nodes"], name(exposure)
        for unique_id in exposure["depends_on"]["nodes"]:
            parent = project.node(unique_id)
            assert parent["schema"] in {"pbm_gold", "pbm_serving", "survey_data"}, unique_id
            assert parent["access"] == "public"
            if parent["config"]["materialized"] not in {"table", "incremental"}:
                views.add(name(parent))
    assert views == EXCEPTIONS["a view behind an exposure"]


def test_a_slim_build_selects_what_changed_and_what_follows(
    project: Project, tmp_path: Path
) -> None:
    """What infra/cloudbuild/dbt-slim.yaml selects, on a state in which one model was another."""
    text = (PROJECT_ROOT / "infra" / "cloudbuild" / "dbt-slim.yaml").read_text()
    (build,) = re.findall(r"dbt build (.*)", text)
    assert "--defer --state state" in build
    manifest = json.loads((project.artifacts / "target" / "manifest.json").read_text())
    manifest["nodes"][f"model.{dbt_manifest.PROJECT}.daily_order_summary"]["raw_code"] += " "
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "profiles.yml").write_text((PROJECT_ROOT / "profiles.yml.example").read_text())
    done = subprocess.run(
        [
            *(program("dbt"), "--quiet", "ls", "--select", *re.findall(r"--select (\S+)", build)),
            *("--state", str(tmp_path / "state"), "--resource-type", "model", "--output", "name"),
            *("--target", "prod", "--profiles-dir", str(tmp_path)),
            *("--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path)),
        ],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    chosen = set(done.stdout.split())
    assert {"daily_order_summary", "serving_watermark"} <= chosen
    assert not chosen & {"fact_order_lifecycle", "stg_order_events", "dim_patients"}


# ---------------------------------------------------------------------- exceptions


def test_every_exception_has_its_reason_in_the_decisions() -> None:
    decisions = (PROJECT_ROOT / "docs" / "decisions.md").read_text()
    named = {one for names in EXCEPTIONS.values() for one in names}
    assert {one for one in named if f"`{one.split('.')[-1]}`" not in decisions} == set()
