"""The pages on a real stack: in Streamlit's own test bench, and in a real browser.

All of it shares one warehouse, one Streamlit server and one browser. What a page shows is compared
with SQL that is written here, over bronze and gold, and not with the dashboards' own queries.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import streamlit as st
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from psycopg import conninfo, sql
from streamlit.testing.v1 import AppTest

from dashboards import pictures, queries, twin
from dashboards.warehouse import NotBuiltError, NoWarehouseError, PostgresWarehouse, Value
from pbm import warehouse
from pbm.processes import free_port, wait_until
from pbm.settings import load_settings
from tests.conftest import PBM, PROJECT_ROOT, Platform, new_platform
from tests.end_to_end.messages import event, publish

ORDERS = 500
DAYS = 20
QUIET_SECONDS = 12
PAGES = ("now", "act", "order_journey", "flow", "data_health", "patient_satisfaction")
# the page that a browser opens, by the name of its module
PATHS = {"now": "", **{name: name for name in PAGES if name != "now"}}


@dataclass
class Stage:
    """A built warehouse, and the dashboards over it."""

    platform: Platform
    url: str
    reader: PostgresWarehouse


def reader_dsn(dsn: str) -> str:
    return warehouse.as_login(dsn, warehouse.DASHBOARD)


@pytest.fixture(scope="module")
def stage(services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("dashboards")
    platform = new_platform(services, folder)
    start = datetime.now(UTC).date() - timedelta(days=DAYS)
    file = folder / "orders.jsonl"
    platform.pbm(
        *("generate", "orders", "--orders", str(ORDERS), "--seed", "5", "--to", str(file)),
        *("--start", start.isoformat(), "--days", str(DAYS), "--malformed", "0.01"),
        *("--duplicates", "0.02"),
    )
    platform.ingest(file)
    # the tests of the models run elsewhere
    models = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    vouched = ("--vars", "{serving_watermark_moves: true}")
    platform.dbt("build", *models, "--exclude", "tag:survey", *vouched)
    platform.pbm("generate", "surveys", "--seed", "2")
    platform.dbt("build", *models, "--select", "tag:survey")
    platform.env |= {
        "PBM_DASHBOARD_MANIFEST": str(Path(platform.env["DBT_TARGET_PATH"]) / "manifest.json"),
        "PBM_DASHBOARD_QUIET_SECONDS": str(QUIET_SECONDS),
    }
    port = free_port()
    with (folder / "streamlit.log").open("w") as log:
        server = subprocess.Popen(
            twin.dashboard_command(port),
            env=platform.env,
            cwd=PROJECT_ROOT,
            stdout=log,
            stderr=log,
        )
        try:
            reader = PostgresWarehouse(reader_dsn(platform.dsn))
            twin.wait_until_it_answers(port)
            yield Stage(platform, f"http://127.0.0.1:{port}", reader)
            reader.close()
        finally:
            server.terminate()
            server.wait(20)
    said = (folder / "streamlit.log").read_text()
    assert "Traceback" not in said, said


# ----------------------------------------------------------------------- the reading login


def test_the_login_reads_gold_and_serving_and_nothing_else(stage: Stage) -> None:
    readable = stage.platform.rows(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema like 'pbm!_%%' escape '!'"
        " and has_table_privilege(%s, format('%%I.%%I', table_schema, table_name), 'select')"
        " and has_schema_privilege(%s, table_schema, 'usage')",
        warehouse.DASHBOARD,
        warehouse.DASHBOARD,
    )
    schemas = {name.partition(".")[0] for (name,) in readable}
    assert schemas == {"pbm_gold", "pbm_serving"}
    everything = stage.platform.rows(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema in ('pbm_gold', 'pbm_serving')"
    )
    assert set(everything) == set(readable)


REFUSED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)


@pytest.mark.parametrize(
    "statement",
    [
        "select * from pbm_bronze.raw_orders limit 1",
        "select * from pbm_bronze.dead_letter_orders limit 1",
        "select * from pbm_silver.stg_order_events limit 1",
        "select * from pbm_ops.ingest_runs limit 1",
        "delete from pbm_gold.order_alerts",
        "update pbm_gold.order_alerts set severity = 'late'",
        "set default_transaction_read_only = off; delete from pbm_gold.order_alerts",
        "create table pbm_gold.mine (a int)",
        "create table public.mine (a int)",
        "set role pbm_transformer",
        "set role pbm_loader",
    ],
)
def test_the_login_may_do_nothing_else(stage: Stage, statement: str) -> None:
    with psycopg.connect(reader_dsn(stage.platform.dsn), autocommit=True) as connection:
        *first, last = statement.split("; ")
        for part in first:
            connection.execute(part.encode())
        with pytest.raises(REFUSED):
            connection.execute(last.encode())


def test_pbm_env_names_the_login(stage: Stage) -> None:
    (line,) = [
        line
        for line in stage.platform.pbm("env").stdout.splitlines()
        if "PBM_DASHBOARD_DSN" in line
    ]
    assert warehouse.DASHBOARD in line


def test_every_query_runs_on_postgresql(stage: Stage) -> None:
    now = datetime.now(UTC)
    values: Mapping[str, Value] = {
        "text": "",
        "integer": 5,
        "timestamp": now - timedelta(days=9),
        "date": (now - timedelta(days=9)).date(),
    }
    answered = stage.platform.value(
        "select max(response_date) from pbm_gold.patient_satisfaction_daily"
    )
    empty = []
    for query in queries.all_queries():
        given = {name: values[kind] for name, kind in query.binds.items()}
        given |= {"until": now} if "until" in given else {}
        given |= {"last_day": now.date()} if "last_day" in given else {}
        given |= {"order_id": an_order(stage)} if "order_id" in given else {}
        given |= {"window_days": 28} if "window_days" in given else {}
        given |= {"response_date": answered} if "response_date" in given else {}
        if not stage.reader.rows(query, given):
            empty.append(query.name)
    # every order's journey has no alert, and nothing failed in the build
    assert set(empty) <= {queries.ORDER_ALERT.name, queries.BUILD_TROUBLE.name}


def test_a_value_is_never_part_of_a_statement(stage: Stage) -> None:
    nasty = "x' or true; drop table pbm_gold.order_alerts; -- %s @today"
    assert stage.reader.rows(queries.ORDER, {"order_id": nasty}) == []


def an_order(stage: Stage) -> str:
    value = stage.platform.value("select min(order_id) from pbm_gold.fact_order_lifecycle")
    assert isinstance(value, str)
    return value


# ------------------------------------------------------------------- Streamlit's test bench


def show(module: str) -> None:
    """One page as the app shows it."""
    import importlib

    from dashboards import page

    page.style()
    page.strip()
    with page.told():
        importlib.import_module(f"dashboards.app_pages.{module}").show()
        page.foot(page.current_access())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run a page against a database, in this process."""

    def run(module: str, env: Mapping[str, str], **query: str) -> AppTest:
        for name, value in env.items():
            if name.startswith("PBM_"):
                monkeypatch.setenv(name, value)
        load_settings.cache_clear()
        st.cache_data.clear()
        st.cache_resource.clear()
        app = AppTest.from_function(show, args=(module,), default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    yield run
    load_settings.cache_clear()
    st.cache_data.clear()
    st.cache_resource.clear()


def words(app: AppTest) -> str:
    kinds = ("title", "header", "markdown", "caption", "info", "warning", "success", "html")
    found = [str(one.value) for kind in kinds for one in app.get(kind) if hasattr(one, "value")]
    return "\n".join([*found, *(f"{one.label}: {one.value}" for one in app.metric)])


@pytest.mark.parametrize("module", PAGES)
def test_a_page_with_data(stage: Stage, bench: Any, module: str) -> None:
    query = {"order_id": an_order(stage)} if module == "order_journey" else {}
    app = bench(module, stage.platform.env, **query)
    assert not app.exception
    said = words(app)
    assert app.title[0].value.replace(" ", "_").lower() == module
    assert "What to do" not in said
    assert "explanations of metrics are missing" not in said
    assert "Sign-in is off" in said


@pytest.fixture(scope="module")
def elsewhere(stage: Stage) -> Mapping[str, Mapping[str, str]]:
    """Environments of warehouses that have nothing, half of it, or are not there."""
    found = {}
    admin = conninfo.make_conninfo(stage.platform.dsn, dbname="postgres")
    name = psycopg.conninfo.conninfo_to_dict(stage.platform.dsn)["dbname"]
    for kind in ("empty", "half"):
        copy = f"{name}_{kind}"
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
            )
            connection.execute(
                sql.SQL("create database {} template {}").format(
                    sql.Identifier(copy), sql.Identifier(str(name))
                )
            )
        dsn = conninfo.make_conninfo(stage.platform.dsn, dbname=copy)
        with psycopg.connect(dsn, autocommit=True) as connection:
            if kind == "half":
                connection.execute("drop table pbm_gold.order_alerts cascade")
                connection.execute("drop table pbm_gold.dim_stage_targets cascade")
                connection.execute("drop table pbm_gold.patient_satisfaction_daily cascade")
                connection.execute("drop view pbm_serving.order_events_now")
                connection.execute("drop table pbm_serving.serving_build_results")
            else:
                connection.execute(
                    "do $$ declare one record; begin for one in select schemaname, tablename"
                    " from pg_tables where schemaname like 'pbm!_%' escape '!'"
                    " and schemaname <> 'pbm_seeds' loop execute"
                    " format('truncate %I.%I', one.schemaname, one.tablename); end loop; end $$"
                )
        found[kind] = {**stage.platform.env, "PBM_POSTGRES_DSN": dsn}
    nowhere = conninfo.make_conninfo(stage.platform.dsn, port=free_port(), connect_timeout=1)
    found["nowhere"] = {**stage.platform.env, "PBM_POSTGRES_DSN": nowhere}
    return found


@pytest.mark.parametrize("module", PAGES)
def test_a_page_without_data_says_how_to_get_some(
    elsewhere: Mapping[str, Mapping[str, str]], bench: Any, module: str
) -> None:
    app = bench(module, elsewhere["empty"])
    assert not app.exception
    said = words(app)
    assert "No event has come in yet" in said
    assert "pbm generate orders" in said


@pytest.mark.parametrize("module", PAGES)
def test_a_page_without_a_database_says_how_to_start_it(
    elsewhere: Mapping[str, Mapping[str, str]], bench: Any, module: str
) -> None:
    app = bench(module, elsewhere["nowhere"])
    assert not app.exception
    said = words(app)
    assert "The warehouse does not answer" in said
    assert "pbm up" in said


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        ("now", "dim_stage_targets"),
        ("act", "order_alerts"),
        ("order_journey", "order_events_now"),
        ("data_health", "serving_build_results"),
        ("flow", "dim_stage_targets"),
        ("patient_satisfaction", "patient_satisfaction_daily"),
    ],
)
def test_a_half_built_warehouse_is_said_to_be(
    stage: Stage, elsewhere: Mapping[str, Mapping[str, str]], bench: Any, module: str, missing: str
) -> None:
    query = {"order_id": an_order(stage)} if module == "order_journey" else {}
    app = bench(module, elsewhere["half"], **query)
    assert not app.exception
    said = words(app)
    assert "only half of it" in said
    assert missing in said
    assert "pbm build" in said
    # the rest of the page is there
    assert len(said.splitlines()) > 8


def test_an_unknown_order_and_a_filter_without_rows_say_what_to_do(
    stage: Stage, bench: Any
) -> None:
    app = bench("order_journey", stage.platform.env, order_id="no such order")
    assert not app.exception
    assert "No such order" in words(app)
    assert "What to do" in words(app)
    nobody = stage.platform.value(
        "select priority from unnest(array['stat', 'expedited', 'standard']) as priority"
        " order by (select count(*) from pbm_gold.order_alerts as alerts"
        " where alerts.priority = priority.priority and alerts.severity = 'critical'"
        " and alerts.stage = 'dispensed_to_shipped') limit 1"
    )
    app = bench(
        "act",
        stage.platform.env,
        severity="Critical",
        priority=nobody.capitalize(),
        stage="To shipping",
    )
    assert not app.exception
    assert "fits these filters" in words(app)


def test_errors_of_the_warehouse_name_what_is_missing(
    elsewhere: Mapping[str, Mapping[str, str]],
) -> None:
    half = PostgresWarehouse(reader_dsn(elsewhere["half"]["PBM_POSTGRES_DSN"]))
    with pytest.raises(NotBuiltError, match="order_alerts"):
        half.rows(queries.ALERT_COUNTS, {})
    # the connection is good for the next question
    assert half.rows(queries.STATUS, {})
    half.close()
    nowhere = PostgresWarehouse(reader_dsn(elsewhere["nowhere"]["PBM_POSTGRES_DSN"]))
    with pytest.raises(NoWarehouseError, match="does not answer"):
        nowhere.rows(queries.STATUS, {})


def test_without_sign_in_production_shows_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**stage.platform.env, "PBM_DBT_TARGET": "prod"}.items():
        if name.startswith("PBM_"):
            monkeypatch.setenv(name, value)
    load_settings.cache_clear()
    app = AppTest.from_file(PROJECT_ROOT / "dashboards" / "streamlit_app.py", default_timeout=60)
    app.run()
    load_settings.cache_clear()
    assert not app.exception
    assert [one.value for one in app.header] == ["Sign-in is not configured"]
    assert not app.metric


# ----------------------------------------------------------------------------- a real browser


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with pictures.browser() as browser:
        yield browser


@pytest.fixture
def tab(opened: Browser) -> Iterator[Page]:
    """A new tab that asks nobody but the dashboards, and whose scripts do not fail."""
    context = opened.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    yield page
    context.close()
    others = [
        url for url in asked if not re.match(r"(https?|wss?)://127\.0\.0\.1|data:|blob:", url)
    ]
    assert others == []
    assert failed == []


def metric(page: Page, label: str) -> str:
    """The value under a label."""
    box = page.get_by_test_id("stMetric").filter(
        has=page.get_by_test_id("stMetricLabel").get_by_text(label, exact=True)
    )
    return box.get_by_test_id("stMetricValue").inner_text().strip()


def cell(page: Page, name: str) -> str:
    """A figure of the strip of truth."""
    strip = page.get_by_role("region", name="How true this page is", exact=True)
    return strip.locator(f"[data-figure='{name}'] .value").inner_text()


def text_of(page: Page) -> str:
    return page.get_by_test_id("stMain").inner_text()


def number(text: str) -> float:
    return float(re.sub(r"[^\d.]", "", text))


def test_the_figures_of_now_are_those_of_the_warehouse(stage: Stage, tab: Page) -> None:
    value = stage.platform.value
    pictures.open_page(tab, stage.url)
    as_of = value(
        "select date_trunc('day', max(least(event_timestamp, publish_time)))"
        " from pbm_silver.stg_order_events"
    )
    opened = "select count(*) from pbm_gold.fact_order_lifecycle where {}"
    for label, condition in (
        ("Open orders", "current_status not in ('delivered', 'cancelled')"),
        ("Placed today", "placed_at >= %s"),
        ("Shipped today", "shipped_at >= %s"),
        ("Delivered today", "delivered_at >= %s"),
    ):
        given = (as_of,) if "%s" in condition else ()
        assert number(metric(tab, label)) == value(opened.format(condition), *given), label
    week = as_of - timedelta(days=7)
    kept = value(
        "select avg(is_on_time::int) from pbm_gold.fact_order_lifecycle"
        " where promised_delivery_at >= %s and promised_delivery_at < %s"
        " and carrier_id is not null and is_on_time is not null",
        week,
        as_of + timedelta(days=1),
    )
    assert metric(tab, "On time, 7 days") == f"{kept:.1%}"
    for label, column, ended in (
        ("Placed → shipped", "hours_placed_to_shipped", "shipped_at"),
        ("Placed → delivered", "hours_placed_to_delivered", "delivered_at"),
    ):
        median = float(
            value(
                f"select percentile_cont(0.5) within group (order by {column})"
                f" from pbm_gold.fact_order_lifecycle where {ended} >= %s",
                week,
            )
        )
        wanted = f"{median / 24:.1f} d" if median >= 48 else f"{median:.1f} h"
        assert metric(tab, label) == wanted
    events = value(
        "select count(*) from pbm_silver.stg_order_events where publish_minute >"
        " (select max(publish_time) from pbm_bronze.raw_orders) - interval '60 minutes'"
    )
    assert f"{events:,} events in the 60 minutes" in text_of(tab)
    refused = value("select count(*) from pbm_bronze.dead_letter_orders")
    assert refused > 0
    assert cell(tab, "dead-letters") == f"▲ {refused:,}"
    assert cell(tab, "layers").endswith("Agree")


def test_a_metric_explains_itself_by_the_doc_block(stage: Stage, tab: Page) -> None:
    pictures.open_page(tab, stage.url)
    box = tab.get_by_test_id("stMetric").filter(has_text="On time, 7 days")
    box.get_by_test_id("stTooltipIcon").hover()
    tip = tab.get_by_test_id("stTooltipContent")
    expect(tip).to_contain_text("ShipMatrix, December 2025")
    expect(tip).to_contain_text("Target from.")


def test_act_shows_the_most_urgent_first_and_links_to_the_order(stage: Stage, tab: Page) -> None:
    pictures.open_page(tab, f"{stage.url}/act")
    counts = dict(
        stage.platform.rows("select severity, count(*) from pbm_gold.order_alerts group by 1")
    )
    said = text_of(tab)
    for severity in ("critical", "late", "warning"):
        assert f"{counts.get(severity, 0):,} {severity}" in said
    severities = tab.locator(".alert .severity").all_inner_texts()
    assert severities == sorted(severities, key=["Critical", "Late", "Warning"].index)
    link = tab.locator(".alert a").first
    order_id = link.inner_text()
    explanation = stage.platform.value(
        "select explanation from pbm_gold.order_alerts where order_id = %s", order_id
    )
    assert explanation in tab.locator(".alert").first.inner_text()
    link.click()
    expect(tab.get_by_role("heading", name="Order journey")).to_be_visible()
    expect(tab.locator(".journey li.done").first).to_be_visible()
    assert order_id in tab.url


def test_filters_live_in_the_address(stage: Stage, tab: Page) -> None:
    severity, count = stage.platform.rows(
        "select severity, count(*) from pbm_gold.order_alerts group by 1 order by 2 limit 1"
    )[0]
    pictures.open_page(tab, f"{stage.url}/act")
    tab.get_by_role("button", name=severity.capitalize(), exact=True).click()
    expect(tab).to_have_url(re.compile(f"severity={severity.capitalize()}"))
    shown = min(count, 12)
    expect(tab.locator(".alert")).to_have_count(shown)
    expect(tab.locator(f".alert.{severity}")).to_have_count(shown)
    # whoever is sent the link sees the same
    shared = tab.context.new_page()
    pictures.open_page(shared, tab.url)
    expect(shared.locator(f".alert.{severity}")).to_have_count(shown)
    expect(shared.locator(".alert")).to_have_count(shown)


def test_a_journey_has_every_event_of_its_order(stage: Stage, tab: Page) -> None:
    order_id, events, status, key = stage.platform.rows(
        "select orders.order_id, orders.event_count, orders.current_status, orders.patient_key"
        " from pbm_gold.fact_order_lifecycle as orders"
        " where orders.is_open and orders.patient_key is not null"
        " order by orders.event_count desc, orders.order_id limit 1"
    )[0]
    pictures.open_page(tab, f"{stage.url}/order_journey?order_id={order_id}")
    expect(tab.locator(".journey li:not(.next)")).to_have_count(events)
    expect(tab.locator(".journey li.next")).to_have_count(1)
    assert metric(tab, "Status") == status.replace("_", " ").capitalize()
    said = tab.content()
    assert key[:8] in said
    assert key[:9] not in said


def test_the_figures_of_flow_are_those_of_the_warehouse(stage: Stage, tab: Page) -> None:
    pictures.open_page(tab, f"{stage.url}/flow?days=30")
    value = stage.platform.value
    said = text_of(tab)
    gold = "pbm_gold.fact_order_lifecycle where placed_at is not null"
    assert DAYS < 30
    placed = value(f"select count(*) from {gold}")
    assert f"Of {placed:,} placed" in said
    assert f"{value(f'select count(*) from {gold} and is_open'):,} still on their way" in said
    first_pass = value(
        "select avg((rejection_count = 0)::int) from pbm_gold.fact_order_lifecycle"
        " where placed_at is not null and (approved_at is not null or rejection_count > 0)"
    )
    assert metric(tab, "First-pass approval") == f"{first_pass:.1%}"
    for state, count in stage.platform.rows(
        f"select state, count(*) from {gold} and state is not null group by 1 order by 2 desc"
        " limit 3"
    ):
        assert tab.get_by_role("listitem", name=f"{state}: {count}").count() == 1
    for carrier, shipments in stage.platform.rows(
        "select carriers.carrier_name, count(*) from pbm_gold.fact_order_lifecycle as orders"
        " inner join pbm_gold.dim_carriers as carriers using (carrier_id)"
        " where orders.promised_delivery_at < %s group by 1",
        datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0),
    ):
        row = tab.get_by_role("row").filter(has_text=carrier)
        assert row.count() == 1
        assert number(row.get_by_role("cell").nth(1).inner_text()) == shipments


def test_the_figures_of_data_health_are_those_of_the_warehouse(stage: Stage, tab: Page) -> None:
    pictures.open_page(tab, f"{stage.url}/data_health")
    said = text_of(tab)
    value = stage.platform.value
    accepted = value("select count(*) from pbm_bronze.raw_orders")
    refused = value("select count(*) from pbm_bronze.dead_letter_orders")
    assert f"{accepted:,} accepted" in said
    assert f"{refused:,} refused" in said
    for reason, count in stage.platform.rows(
        "select error_type, count(*) from pbm_bronze.dead_letter_orders group by 1"
    ):
        row = tab.get_by_role("row").filter(has=tab.get_by_text(reason, exact=True))
        assert number(row.get_by_role("cell").nth(1).inner_text()) == count
    manifest = Path(stage.platform.env["DBT_TARGET_PATH"], "manifest.json").read_text()
    kinds = [node["resource_type"] for node in json.loads(manifest)["nodes"].values()]
    built = sum(kind in {"model", "seed"} for kind in kinds)
    assert number(metric(tab, "Tables and seeds built")) == built


def test_the_figures_of_satisfaction_are_those_of_the_answers(stage: Stage, tab: Page) -> None:
    """Counted from single answers, which the page itself never reads."""
    pictures.open_page(tab, f"{stage.url}/patient_satisfaction?window=28")
    latest = stage.platform.value(
        "select max(response_date) from pbm_gold.patient_satisfaction_daily"
    )
    answers, promoters, detractors = stage.platform.rows(
        "select count(likelihood_to_recommend),"
        " count(*) filter (where likelihood_to_recommend >= 9),"
        " count(*) filter (where likelihood_to_recommend <= 6)"
        " from pbm_gold.fact_survey_responses"
        " where (responded_at at time zone 'utc')::date > %s - 28"
        " and (responded_at at time zone 'utc')::date <= %s",
        latest,
        latest,
    )[0]
    assert answers > 50
    score = float(metric(tab, "Net promoter score").replace("\u2212", "-"))
    assert score == round(100 * (promoters - detractors) / answers)
    hidden = stage.platform.rows(
        "select dimension_value from pbm_gold.patient_satisfaction_daily"
        " where dimension = 'drug_area' and is_suppressed"
        " and window_days = 28 and response_date = %s",
        latest,
    )
    assert hidden
    said = text_of(tab).lower()
    assert "hidden, because they have 1 to 10 answers" in said
    for (name,) in hidden:
        assert name.replace("_", " ").lower() in said


SERIOUS = {"serious", "critical"}


@pytest.mark.parametrize("module", PAGES)
def test_axe_finds_nothing_serious(stage: Stage, opened: Browser, module: str) -> None:
    """In light and in dark, and at the width of a phone, at which nothing runs over either.

    Nor does any page hold the whole pseudonym of a patient.
    """
    keys = {key for (key,) in stage.platform.rows("select patient_key from pbm_gold.dim_patients")}
    assert len(keys) > 100
    path = PATHS[module]
    if module == "order_journey":
        path += f"?order_id={an_order(stage)}"
    for scheme, width in (("light", 1280), ("dark", 390)):
        context = opened.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        page = context.new_page()
        pictures.open_page(page, f"{stage.url}/{path}")
        found = Axe().run(page).response["violations"]
        serious = [
            (one["id"], node["html"][:200], node["failureSummary"][:300])
            for one in found
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]
        assert serious == [], scheme
        assert set(re.findall(r"[0-9a-f]{64}", page.content())) & keys == set()
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, f"{over} pixels too wide at {width}"
        context.close()


# ----------------------------------------------------------------------- live: it comes last


def test_what_is_published_is_on_the_screen_in_seconds_and_silence_is_said(
    stage: Stage, tab: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a reload; then the ingester is stopped, and the page says so by itself."""
    platform = stage.platform
    publish(platform, [], monkeypatch)  # makes topic and subscription
    ingester = subprocess.Popen(
        [PBM, "ingest", "--from", "pubsub", "--follow"],
        env=platform.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:

        def placed(number: int) -> bytes:
            made = event(
                900_000 + number,
                event_timestamp=datetime.now(UTC).isoformat(),
                order_id=f"live-order-{number}",
            )
            return json.dumps(made).encode()

        publish(platform, [placed(0)], monkeypatch)
        landed = "select count(*) from pbm_bronze.raw_orders where order_id = 'live-order-0'"
        assert wait_until(lambda: platform.value(landed) == 1, seconds=60)
        pictures.open_page(tab, stage.url)
        expect(tab.get_by_text("the stream has stopped")).to_have_count(0, timeout=15_000)
        tab.evaluate("window.neverReloaded = true")
        before = number(metric(tab, "Open orders"))

        delays = []
        for round_number in (1, 2, 3):
            publish(platform, [placed(round_number)], monkeypatch)
            published = time.monotonic()
            wanted = f"{before + round_number:,.0f}"
            box = tab.get_by_test_id("stMetric").filter(has_text="Open orders")
            expect(box.get_by_test_id("stMetricValue")).to_have_text(wanted, timeout=20_000)
            delays.append(time.monotonic() - published)
        said = ", ".join(f"{one:.1f} s" for one in delays)
        sys.stdout.write(f"from publishing to the screen: {said}\n")
        assert sorted(delays)[1] <= 10, delays
        assert number(metric(tab, "Placed today")) >= 4
        assert re.search(r"[1-9]\d* of them live", text_of(tab))
        assert cell(tab, "stream").endswith("Live")
        assert tab.evaluate("window.scrollY") == 0
    finally:
        ingester.terminate()
        ingester.wait(30)
    stopped = time.monotonic()
    expect(tab.get_by_text("the stream has stopped")).to_be_visible(timeout=60_000)
    assert time.monotonic() - stopped <= QUIET_SECONDS + 10
    assert cell(tab, "stream").endswith("Silent")
    # what was there is there still
    assert number(metric(tab, "Open orders")) == before + 3
    assert tab.evaluate("window.neverReloaded") is True
    # an order is found by its id before any build has read it
    pictures.open_page(tab, f"{stage.url}/order_journey?order_id=live-order-2")
    expect(tab.locator(".journey li.done")).to_have_count(1)
    assert "live" in tab.locator(".journey li.done").inner_text()
