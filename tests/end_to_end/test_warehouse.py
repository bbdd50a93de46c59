"""From generated events to gold, through the real commands."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pbm import privacy
from tests.conftest import (
    DBT,
    PBM,
    PROJECT_ROOT,
    Platform,
    clean_environment,
    new_platform,
    run_pbm,
)
from tests.end_to_end.warehouse_tables import snapshot, tables
from tests.warehouse.test_project_rules import bouncer

# the unit tests run once, in the first build
DATA_TESTS_ONLY = ("--exclude-resource-type", "unit_test")
KNOBS = ("--duplicates", "0.05", "--late", "0.02", "--malformed", "0.02", "--shuffle")


def generate(platform: Platform, file: Path, *options: str) -> Path:
    platform.pbm("generate", "orders", *options, "--to", str(file))
    return file


@pytest.fixture(scope="module")
def built(
    services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Platform, Path]:
    """A platform with the orders of one file in gold, and that file; its logs hold all it said."""
    folder = tmp_path_factory.mktemp("built")
    platform = new_platform(services, folder)
    file = generate(
        platform, folder / "a.jsonl", "--orders", "500", "--seed", "7", "--days", "20", *KNOBS
    )
    said = platform.pbm("ingest", "--from", str(file), "--verbose", "--json")
    (platform.home / "logs").mkdir(exist_ok=True)
    (platform.home / "logs" / "ingester.txt").write_text(said.stdout + said.stderr)
    platform.dbt("build")
    platform.pbm("generate", "surveys", "--responses", "300", "--seed", "7")
    platform.dbt("build", "--select", "tag:survey")
    return platform, file


def test_the_same_seed_gives_the_same_bytes(platform: Platform, tmp_path: Path) -> None:
    first = generate(platform, tmp_path / "a.jsonl", "--orders", "500", "--seed", "7")
    second = generate(platform, tmp_path / "b.jsonl", "--orders", "500", "--seed", "7")
    other = generate(platform, tmp_path / "c.jsonl", "--orders", "500", "--seed", "8")
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_every_event_counts_once_in_silver_and_every_order_is_in_gold(
    built: tuple[Platform, Path],
) -> None:
    platform, _ = built
    (manifest_file,) = (platform.home / "manifests").glob("*.json")
    manifest = json.loads(manifest_file.read_text())
    assert manifest["duplicates"] > 0
    assert manifest["malformed"] > 0
    assert platform.value("select count(*) from pbm_bronze.raw_orders") == (
        manifest["events"] + manifest["duplicates"]
    )
    dead = dict(
        platform.rows("select error_type, count(*) from pbm_bronze.dead_letter_orders group by 1")
    )
    assert dead == manifest["malformed_by_error_type"]
    assert platform.value("select count(*) from pbm_silver.stg_order_events") == manifest["events"]
    assert platform.rows(
        "select count(*), count(*) filter (where current_status = 'delivered'),"
        " count(*) filter (where current_status = 'cancelled'), count(*) filter (where is_open)"
        " from pbm_gold.fact_order_lifecycle"
    ) == [
        (
            manifest["orders"],
            manifest["orders_delivered"],
            manifest["orders_cancelled"],
            manifest["orders_open"],
        )
    ]
    assert platform.value("select sum(orders_placed) from pbm_gold.daily_order_summary") == 500


def test_ingesting_and_building_again_changes_no_row_of_gold(
    built: tuple[Platform, Path],
) -> None:
    platform, file = built
    before = snapshot(platform, "pbm_silver", "pbm_gold")
    physical = "select count(*), max(xmin::text::bigint) from pbm_gold.fact_order_lifecycle"
    written = platform.rows(physical)
    assert platform.ingest(file)["accepted"] == 0
    platform.dbt("build", *DATA_TESTS_ONLY)
    assert snapshot(platform, "pbm_silver", "pbm_gold") == before
    assert platform.rows(physical) == written, "an unchanged order's row is not even rewritten"


def test_no_identifier_of_a_patient_leaves_bronze(built: tuple[Platform, Path]) -> None:
    platform, file = built
    identifiers = identifiers_of_patients(file)
    assert len(identifiers) > 2000

    answers = identifiers_in_comments(platform)
    assert len(answers) > 60
    identifiers |= answers

    places = {
        table: "\n".join(
            row[0]
            for row in platform.rows(
                # ids that Pub/Sub or a file's lines gave, and a count of days, are numbers that may
                # look like a ZIP
                "select (to_jsonb(t) - array['message_id', 'business_days_before'])::text"
                f" from {table} t"
            )
        )
        for table in (
            *tables(platform, "pbm_seeds", "pbm_silver", "pbm_gold", "pbm_serving"),
            *("pbm_silver.stg_survey_responses", "survey_data.survey_satisfaction_daily"),
        )
    }
    folders = [platform.home / "logs", Path(platform.env["DBT_LOG_PATH"])]
    folders.append(Path(platform.env["DBT_TARGET_PATH"]))
    for folder in folders:
        found = [path for path in folder.rglob("*") if path.is_file()]
        assert found, f"{folder} holds nothing to search"
        places |= {str(path): path.read_bytes().decode("utf-8", "replace") for path in found}
    server_log = Path(PROJECT_ROOT, services_log(platform))
    places[str(server_log)] = server_log.read_text()

    # a number that a server counts of itself may look like a ZIP
    places |= {place: COUNTERS.sub("", text) for place, text in places.items() if "/" in place}
    log = (
        "2026-01-05 09:00:00.000 UTC [10001] LOG:  distance=10001 kB\n"
        '{"process_in_blocks": "10001"}'
    )
    assert found_in({"10001"}, log)
    assert not found_in({"10001"}, COUNTERS.sub("", log))

    # the search itself must be able to find them: in bronze, and each in a text of its own
    text = COUNTERS.sub("", "\n".join(f"[{word}] DETAIL: ({word}), {word}" for word in identifiers))
    assert found_in(identifiers, text) == identifiers
    received = file.read_bytes().decode("utf-8", "replace")
    assert len(found_in(identifiers, received)) > 0.8 * (len(identifiers) - len(answers))
    leaks = {place: sorted(found_in(identifiers, text))[:5] for place, text in places.items()}
    assert {place: words for place, words in leaks.items() if words} == {}

    # single names are also words: months, and companies that make drugs
    names = names_of_patients(file)
    about_orders = {place for place in places if "order" in place or "patients" in place}
    assert len(about_orders & set(tables(platform, "pbm_silver", "pbm_gold"))) >= 5
    leaks = {
        table: sorted(found_in(names, places[table]))[:5]
        for table in about_orders
        if table.startswith(("pbm_silver.", "pbm_gold."))
    }
    assert {place: words for place, words in leaks.items() if words} == {}


def test_the_docs_site_shows_every_table_as_the_warehouse_describes_it(
    built: tuple[Platform, Path],
) -> None:
    platform, _ = built
    platform.dbt("docs", "generate", "--static", "--no-compile")
    target = Path(platform.env["DBT_TARGET_PATH"])
    manifest = json.loads((target / "manifest.json").read_text())
    catalog = json.loads((target / "catalog.json").read_text())
    declared = {
        key: {column: " ".join(text["description"].split()) for column, text in columns.items()}
        for part in ("nodes", "sources")
        for key, node in manifest[part].items()
        if (columns := node["columns"]) and node["resource_type"] in {"model", "seed"}
    }
    assert len(declared) > 20
    found = {
        key: {
            column["name"]: " ".join((column["comment"] or "").split())
            for column in catalog["nodes"][key]["columns"].values()
        }
        for key in declared
    }
    assert found == declared, "what the YAML says is what the warehouse says"
    assert set(catalog["sources"]) == set(manifest["sources"])
    assert bouncer(target.parent, "catalog_checks") > 100, "nearly nothing was checked"
    page = (target / "static_index.html").read_text()
    assert "The way of an event" in page
    assert all(key.rsplit(".", 1)[-1] in page for key in declared)


def services_log(platform: Platform) -> str:
    return str(platform.value("select setting from pg_settings where name = 'data_directory'")) + (
        "/../postgres.log"
    )


def patients(file: Path) -> Iterator[dict[str, Any]]:
    """The patient of every placement in a file."""
    for line in file.read_bytes().splitlines():
        try:
            patient = json.loads(line)["data"]["patient"]
        except (ValueError, KeyError, TypeError):
            continue  # a malformed message, or an event without a patient
        if isinstance(patient, dict):
            yield patient


def identifiers_of_patients(file: Path) -> set[str]:
    """Every value of every patient that the contract calls an identifier, as texts."""
    identifiers: set[str] = set()
    for patient in patients(file):
        name = f"{patient.get('first_name')} {patient.get('last_name')}"
        values = [name, *(patient.get(field) for field in IDENTIFIERS)]
        identifiers |= {value.strip() for value in values if isinstance(value, str)}
    return {identifier for identifier in identifiers if identifier}


def identifiers_in_comments(platform: Platform) -> set[str]:
    """Every comment of a survey, and the name, phone and birth date with which some are signed."""
    comments = {
        row[0]
        for row in platform.rows(
            "select comment from survey_data.survey_responses where comment is not null"
        )
    }
    signed = re.findall(
        r"(?:call|Llamen a) (.+?)(?: at|,) (\(\d+\) 555-\d+), \w+ (\d{4}-\d\d-\d\d)",
        "\n".join(comments),
    )
    assert len(signed) > 10
    return {*comments, *(part for parts in signed for part in parts)}


def names_of_patients(file: Path) -> set[str]:
    """First and last names, each by itself."""
    return {
        str(patient[field]).strip()
        for patient in patients(file)
        for field in ("first_name", "last_name")
        if len(str(patient.get(field) or "").strip()) > 2
    }


IDENTIFIERS = ("patient_id", "phone", "email", "address", "zip", "date_of_birth")

_WORD = re.compile(r"[^\s\"',;:(){}\[\]<>=|]+")


COUNTERS = re.compile(
    r"(?m)(?<=^.{27} )\[\d+\]"  # the process that writes a line of PostgreSQL's log
    r"|\(PID \d+\)|\b(?:distance|estimate)=\d+ kB|\bwrote \d+ buffers|\bport \d+"
    r'|"process_\w+": "?\d+"?'  # dbt's resources
)


def found_in(identifiers: set[str], text: str) -> set[str]:
    """Those identifiers that stand in ``text`` as whole words."""
    words = set(_WORD.findall(text))
    found = set()
    for identifier in identifiers:
        parts = _WORD.findall(identifier)
        if all(part in words for part in parts) and identifier in text:
            found.add(identifier)
    return found


WATERMARK = "select built_through, ingested_through, moved_at from pbm_serving.serving_watermark"
SERVING = (
    "select relname, oid from pg_class where relnamespace = 'pbm_serving'::regnamespace"
    " and relkind in ('r', 'v') order by relname"
)


def test_a_build_whose_tests_pass_moves_the_watermark(built: tuple[Platform, Path]) -> None:
    platform, _ = built
    newest = platform.rows(
        "select max(built_at), max(ingested_at) from pbm_silver.stg_order_events"
    )
    assert [row[:2] for row in platform.rows(WATERMARK)] == newest
    assert platform.value(
        "select count(*) filter (where is_live) = 0 and count(*) > 0"
        " from pbm_serving.order_status_now"
    )


def test_a_run_or_a_build_of_a_part_leaves_the_watermark_and_the_views(
    built: tuple[Platform, Path], tmp_path: Path
) -> None:
    platform, _ = built
    before, views = platform.rows(WATERMARK), platform.rows(SERVING)
    assert len(views) >= 3
    platform.ingest(generate(platform, tmp_path / "b.jsonl", "--orders", "5", "--seed", "8"))
    platform.dbt("run")
    assert platform.rows(WATERMARK) == before
    part = ("--select", "fact_order_lifecycle+", "--exclude", "order_alerts+1")
    platform.dbt("build", *DATA_TESTS_ONLY, *part)
    assert platform.rows(WATERMARK) == before
    assert platform.rows(SERVING) == views, "views are replaced where they are, never missing"
    assert platform.value(
        "select count(*) filter (where is_live) from pbm_serving.order_status_now"
    )


def test_a_build_with_a_failing_test_of_gold_leaves_the_watermark(
    built: tuple[Platform, Path],
) -> None:
    platform, _ = built
    before, views = platform.rows(WATERMARK), platform.rows(SERVING)
    hour = "timestamptz '2031-01-01 00:00:00+00'"
    platform.execute(
        "insert into pbm_gold.ingestion_reconciliation"
        " (publish_hour, accepted_count, dead_letter_count, duplicate_count, speed_event_count,"
        " batch_event_count, difference, last_arrival_at)"
        f" values ({hour}, 7, 0, 0, 0, 0, 0, clock_timestamp())"
    )
    try:
        result = subprocess.run(
            [DBT, "build", *DATA_TESTS_ONLY],
            env=platform.env,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            cwd=PROJECT_ROOT,
        )
    finally:
        platform.execute(
            f"delete from pbm_gold.ingestion_reconciliation where publish_hour = {hour}"
        )
    assert result.returncode == 1, result.stdout
    failed = [line for line in result.stdout.splitlines() if " FAIL " in line]
    assert len(failed) == 1, failed
    assert "ingestion_reconciliation_accepted" in failed[0]
    assert platform.rows(WATERMARK) == before
    assert platform.rows(SERVING) == views
    # whoever has seen the tests pass by other means says so
    platform.dbt(
        *("run", "--select", "serving_watermark", "--vars", "{serving_watermark_moves: true}")
    )
    moved = platform.rows(WATERMARK)
    assert all(now > then for now, then in zip(moved[0], before[0], strict=True))


def test_no_data_test_of_silver_and_gold_escapes_the_watermark(
    built: tuple[Platform, Path],
) -> None:
    """dbt holds a model back for those tests only that look at nothing but its ancestors.

    What patients answer says nothing of how far the orders were read: its tests hold nothing back.
    """
    platform, _ = built
    manifest = json.loads(Path(platform.env["DBT_TARGET_PATH"], "manifest.json").read_text())
    nodes = manifest["nodes"]
    (watermark,) = (name for name in nodes if name.endswith(".serving_watermark"))

    def parents(name: str) -> set[str]:
        return set(nodes.get(name, {}).get("depends_on", {}).get("nodes", []))

    ancestors = parents(watermark)
    while more := set().union(*map(parents, ancestors)) - ancestors:
        ancestors |= more
    serving = {name for name, node in nodes.items() if node["path"].startswith("serving/")}
    tests = {name for name, node in nodes.items() if node["resource_type"] == "test"}
    of_serving = {name for name in tests if parents(name) & serving}
    answers = {
        name
        for name, node in {**nodes, **manifest["sources"]}.items()
        if "survey" in node["tags"] and node["resource_type"] in {"model", "source"}
    }
    of_surveys = {name for name in tests if parents(name) & answers}
    assert len(answers) == 5
    assert not answers & ancestors, "surveys hold the watermark back"
    held_back_by = {name for name in tests if parents(name) <= ancestors}
    assert len(held_back_by) > 120
    assert tests - of_serving - of_surveys - held_back_by == set()


def test_the_planner_knows_every_table_that_a_build_makes(built: tuple[Platform, Path]) -> None:
    """The models after it are planned before autovacuum comes round."""
    platform, _ = built
    tables = platform.rows(
        "select schemaname || '.' || relname, analyze_count > 0 from pg_stat_user_tables"
        " where schemaname in ('pbm_silver', 'pbm_gold')"
    )
    assert len(tables) > 10
    assert [name for name, is_known in tables if not is_known] == []


def test_who_reads_serving_needs_no_right_on_what_is_below(built: tuple[Platform, Path]) -> None:
    platform, _ = built
    with psycopg.connect(platform.dsn, autocommit=True) as connection:
        connection.execute("set role pbm_reporter")
        for view in ("order_status_now", "order_activity_by_minute", "serving_watermark"):
            assert connection.execute(f"select count(*) from pbm_serving.{view}".encode())
        for table in ("pbm_bronze.raw_orders", "pbm_silver.stg_order_events"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select count(*) from {table}".encode())


def test_demo_runs_twice_and_leaves_no_process(tmp_path: Path) -> None:
    from tests.pbm.test_stack import processes_of

    env = clean_environment(
        PBM_HOME=str(tmp_path / "home"),
        DBT_TARGET_PATH=str(tmp_path / "target"),
        DBT_LOG_PATH=str(tmp_path / "logs"),
    )
    for run in (1, 2):
        result = run_pbm("demo", "--orders", "50", "--seed", str(run), env=env, timeout=600)
        assert result.returncode == 0, result.stdout + result.stderr
        for words in ("Orders by status", "daily_order_summary", "dead letter", "What next"):
            assert words in result.stdout
        # the second run meets an emulator whose message ids start again from 1
        (said,) = re.findall(r"│ accepted into bronze +│ +([0-9,]+) │", result.stdout)
        assert int(said.replace(",", "")) > 300
        assert "already there" not in result.stdout
        assert processes_of(tmp_path / "home") == []


def test_demo_without_an_emulator_says_so_and_goes_through_a_file(tmp_path: Path) -> None:
    env = clean_environment(
        PBM_HOME=str(tmp_path / "home"),
        DBT_TARGET_PATH=str(tmp_path / "target"),
        DBT_LOG_PATH=str(tmp_path / "logs"),
        PATH=f"{Path(PBM).parent}:/usr/sbin",  # neither java nor gcloud
    )
    result = run_pbm("demo", "--orders", "50", env=env, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No Pub/Sub emulator is installed" in result.stderr
    (said,) = re.findall(r"│ accepted into bronze +│ +([0-9,]+) │", result.stdout)
    assert int(said.replace(",", "")) > 300
    refused = run_pbm("ingest", env=env)
    assert refused.returncode == 4


def test_every_column_of_the_database_has_a_class(built: tuple[Platform, Path]) -> None:
    platform, _ = built
    found = {
        (f"{schema}.{table}", column)
        for schema, table, column in platform.rows(
            "select table_schema, table_name, column_name from information_schema.columns"
            " where table_schema like 'pbm\\_%' or table_schema = 'survey_data'"
        )
    }
    tables = classes_of(platform).tables.values()
    classified = {(table.name, column) for table in tables for column in table.columns}
    assert found == classified


def test_each_role_reads_what_its_work_needs_and_nothing_else(
    built: tuple[Platform, Path],
) -> None:
    """By a login of its own that is a member of the role, column by column."""
    platform, _ = built
    classes = classes_of(platform)
    wrong = []
    for role in classes.roles:
        login = f"reads_as_{role}"
        platform.execute(f"create role {login} login in role {role}")
        try:
            may = classes.readable(role)
            with psycopg.connect(platform.dsn, user=login, autocommit=True) as connection:
                for table in classes.tables.values():
                    for column in table.columns:
                        reads = may_read(connection, table.name, column)
                        if reads != (column in may.get(table.name, set())):
                            wrong.append(
                                f"{role} {'reads' if reads else 'cannot read'} "
                                f"{table.name}.{column}"
                            )
        finally:
            platform.execute(f"drop role {login}")
    assert wrong == []


def may_read(connection: psycopg.Connection[Any], table: str, column: str) -> bool:
    """Whether a real query of one column is let through."""
    try:
        connection.execute(f'select "{column}" from {table} limit 0'.encode())
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def classes_of(platform: Platform) -> privacy.Privacy:
    """What the project says, by the manifest of the build."""
    manifest = Path(platform.env["DBT_TARGET_PATH"], "manifest.json").read_text()
    return privacy.Privacy(json.loads(manifest), privacy.read_roles())
