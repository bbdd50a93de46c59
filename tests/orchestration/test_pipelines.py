"""The pipelines at work: by `airflow dags test`, and under a scheduler while tasks are killed."""

import json
import re
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import PBM
from tests.end_to_end.warehouse_tables import contents, tables
from tests.orchestration.airflow_stack import (
    ORDERS,
    SURVEYS,
    AirflowPlatform,
    airflow_platform,
)

# two pipelines and a scheduler, also where other tests have the other core
pytestmark = pytest.mark.timeout(1800)

WHEN = "2026-11-20T00:00:00+00:00"
ORDER_COUNT, SEED = 30, 7
# what tells how often a message came, and when: a message that was published twice is there twice
NOT_COMPARED = {"pbm_gold.ingestion_reconciliation"}


@pytest.fixture(scope="module")
def fresh(services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AirflowPlatform:
    """A fresh platform on which both pipelines ran once, as a person runs them."""
    platform = airflow_platform(services, tmp_path_factory.mktemp("fresh"))
    logs = []
    for dag_id, conf in ((ORDERS, {"orders": ORDER_COUNT, "seed": SEED}), (SURVEYS, {})):
        done = platform.dags_test(dag_id, WHEN if dag_id == ORDERS else "", **conf)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
        logs.append(done.stdout)
    return replace(platform, logs=logs)


def test_both_pipelines_succeed_on_a_fresh_stack(fresh: AirflowPlatform) -> None:
    for dag_id in (ORDERS, SURVEYS):
        assert set(fresh.states(dag_id).values()) == {"success"}
    assert fresh.value("select count(*) from pbm_gold.fact_order_lifecycle") == ORDER_COUNT
    assert fresh.value("select sum(orders_placed) from pbm_gold.daily_order_summary") == ORDER_COUNT
    answers = fresh.value("select count(*) from survey_data.survey_responses")
    assert answers > 0
    assert fresh.value("select count(*) from pbm_gold.fact_survey_responses") == answers
    assert (fresh.published("pbm_gold"), fresh.published("pbm_surveys")) == (1, 1)
    reached = fresh.value("select built_through from pbm_serving.serving_watermark")
    assert reached == fresh.value("select max(built_at) from pbm_silver.stg_order_events")


def test_every_dbt_test_ran_once_and_none_before_its_models(fresh: AirflowPlatform) -> None:
    manifest = fresh.manifest
    began, ended = dbt_words(fresh)
    tests = {
        node["name"]: node["depends_on"]["nodes"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
    }
    units = {f"{test['model']}::{test['name']}" for test in manifest["unit_tests"].values()}
    assert Counter(name for _, name in began if name in tests) == Counter(dict.fromkeys(tests, 1))
    assert Counter(name for _, name in began if "::" in name) == Counter(dict.fromkeys(units, 1))
    when = {name: line for line, name in began}
    for name, parents in tests.items():
        for parent in parents:
            node = manifest["nodes"].get(parent)
            if node is not None:
                assert ended[f"{node['schema']}.{node['name']}"] < when[name], (name, parent)


def dbt_words(platform: AirflowPlatform) -> tuple[list[tuple[int, str]], dict[str, int]]:
    """When, in lines of the logs, each test began and each model and seed had been built."""
    began, ended = [], {}
    lines = [line for log in platform.logs for line in log.splitlines()]
    for number, line in enumerate(lines):
        if found := re.search(r" of \d+ START (?:unit_)?test (\S+) ", line):
            began.append((number, found[1]))
        elif found := re.search(
            r" of \d+ OK (?:created|loaded) .*?(pbm_\w+\.\w+|survey_data\.\w+) ", line
        ):
            ended[found[1]] = number
    return began, ended


def test_nothing_of_a_patient_is_in_what_airflow_shows(fresh: AirflowPlatform) -> None:
    payloads = fresh.rows(
        "select payload from pbm_bronze.raw_orders where payload like '%patient%'"
    )
    messages = [json.loads(payload).get("data") or {} for (payload,) in payloads]
    patients = [message["patient"] for message in messages if message.get("patient")]
    words = {
        str(patient[field])
        for patient in patients
        for field in ("patient_id", "phone", "email", "address", "date_of_birth", "last_name")
        if patient.get(field) and len(str(patient[field])) > 7
    }
    assert len(words) > ORDER_COUNT
    shown = "\n".join(
        [
            *fresh.logs,
            *(path.read_text(errors="replace") for path in fresh.airflow_home.rglob("*.log")),
            *(str(row) for row in fresh.airflow_rows("select value::text from xcom")),
            *(
                str(row)
                for row in fresh.airflow_rows("select * from rendered_task_instance_fields")
            ),
        ]
    )
    assert "fact_order_lifecycle" in shown
    assert [word for word in words if word in shown] == []


def test_a_failing_test_of_silver_stops_gold_the_watermark_and_the_asset(
    fresh: AirflowPlatform,
) -> None:
    watermark = fresh.rows("select * from pbm_serving.serving_watermark")
    gold = fresh.value("select count(*) from pbm_gold.fact_order_lifecycle")
    one = "(select min(order_id) from pbm_silver.cleaned_orders_table)"
    fresh.execute(
        "update pbm_silver.cleaned_orders_table set current_status = 'nonsense',"
        f" source_built_at = clock_timestamp() where order_id = {one}"
    )
    failed = fresh.dags_test(ORDERS, orders=3, seed=SEED + 1)
    assert failed.returncode != 0
    states = fresh.states(ORDERS)
    assert states["transform_to_silver.cleaned_orders_table.run"] == "success"
    assert states["transform_to_silver.cleaned_orders_table.test"] == "failed"
    after = [one for one in states if one.startswith(("transform_to_gold", "move_watermark"))]
    assert {states[one] for one in [*after, "reconcile", "publish_gold"]} == {"upstream_failed"}
    assert fresh.rows("select * from pbm_serving.serving_watermark") == watermark
    assert fresh.value("select count(*) from pbm_gold.fact_order_lifecycle") == gold
    assert fresh.published("pbm_gold") == 1


@dataclass
class Scheduler:
    """A running `pbm airflow standalone`."""

    process: "subprocess.Popen[str]"
    address: str
    token: str

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return call(self.address, method, path, body, self.token)

    def command(self, *words: str, seconds: float = 300) -> psutil.Process:
        """A command of a task, as soon as it runs."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for one in psutil.Process(self.process.pid).children(recursive=True):
                try:
                    line = one.cmdline()
                except psutil.NoSuchProcess:
                    continue
                if line[1:3] == ["-m", "pbm"] and line[3 : 3 + len(words)] == list(words):
                    return one
            time.sleep(0.02)
        raise AssertionError(f"pbm {words} was not run")


def call(
    address: str, method: str, path: str, body: dict[str, Any] | None = None, token: str = ""
) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310  an address of this machine
        address + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        content = json.load(answer)
    assert isinstance(content, dict)
    return content


@pytest.fixture(scope="module")
def disturbed(
    services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> AirflowPlatform:
    platform = airflow_platform(services, tmp_path_factory.mktemp("disturbed"))
    changes = {
        "PBM_AIRFLOW_RETRIES": "2",
        # the run that is triggered is the only one
        "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    }
    return replace(platform, env={**platform.env, **changes})


@pytest.fixture(scope="module")
def scheduler(disturbed: AirflowPlatform) -> Iterator[Scheduler]:
    said = disturbed.home / "standalone.txt"
    with said.open("w") as words:
        process = subprocess.Popen(
            [PBM, "airflow", "standalone"],
            env=disturbed.env,
            stdout=subprocess.DEVNULL,
            stderr=words,
            text=True,
        )
    try:
        address = _said(said, process, "Airflow is at ")
        password = _said(said, process, "with the password ")
        login = {"username": "admin", "password": password}
        token = call(address, "POST", "/auth/token", login)["access_token"]
        yield Scheduler(process, address, token)
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(90)
        left = [one for one in family if one.is_running() and one.status() != "zombie"]
        assert left == []


def _said(said: Path, process: "subprocess.Popen[str]", words: str) -> str:
    until = time.monotonic() + 600
    while time.monotonic() < until and process.poll() is None:
        for line in said.read_text().splitlines():
            if words in line:
                return line.partition(words)[2].strip()
        time.sleep(0.2)
    raise AssertionError(said.read_text())


def test_killed_tasks_are_tried_again_and_gold_is_as_if_nothing_had_happened(
    fresh_gold: dict[str, list[str]], disturbed: AirflowPlatform, scheduler: Scheduler
) -> None:
    """By the REST interface; killed after publishing, in mid-ingest, and after silver."""
    scheduler.call("PATCH", f"/api/v2/dags/{ORDERS}", {"is_paused": False})
    run = scheduler.call(
        "POST",
        f"/api/v2/dags/{ORDERS}/dagRuns",
        {"logical_date": WHEN, "conf": {"orders": ORDER_COUNT, "seed": SEED}},
    )["dag_run_id"]

    publishing = scheduler.command("generate", "orders")
    task = _stopped_parent(publishing)
    _until(lambda: not publishing.is_running() or publishing.status() == "zombie")
    task.kill()  # all is published, and nobody knows

    ingesting = scheduler.command("ingest")
    holds = (
        "select count(*) from pbm_ops.ingest_runs"
        " where ended_at is null and leased_until > clock_timestamp()"
    )
    _until(lambda: disturbed.value(holds) > 0)
    _kill_with_its_task(ingesting)  # messages are in its hands

    _kill_with_its_task(scheduler.command("reconcile"))

    path = f"/api/v2/dags/{ORDERS}/dagRuns/{run}"
    _until(lambda: scheduler.call("GET", path)["state"] in {"success", "failed"}, seconds=900)
    states = disturbed.states(ORDERS)
    assert scheduler.call("GET", path)["state"] == "success", states
    tries = dict(
        disturbed.airflow_rows(
            "select task_id, try_number from task_instance where run_id = %s", run
        )
    )
    again = {"run_faker_script", "launch_dataflow_job", "reconcile"}
    assert {task for task, number in tries.items() if number > 1} == again
    assert disturbed.value(
        "select count(*) > count(distinct event_id) * 1.5 from pbm_bronze.raw_orders"
    ), "it was published twice"
    assert gold_of(disturbed) == fresh_gold
    assert disturbed.published("pbm_gold") == 1


@pytest.fixture(scope="module")
def fresh_gold(fresh: AirflowPlatform) -> dict[str, list[str]]:
    return gold_of(fresh)


def gold_of(platform: AirflowPlatform) -> dict[str, list[str]]:
    return {
        # another run publishes the same events at another time
        table: contents(platform, table, "publish_time", "events_hash")
        for table in tables(platform, "pbm_gold")
        if table not in NOT_COMPARED and "survey" not in table and "satisfaction" not in table
    }


def _stopped_parent(process: psutil.Process) -> psutil.Process:
    task = process.parent()
    assert task is not None
    task.suspend()
    return task


def _kill_with_its_task(process: psutil.Process) -> None:
    task = process.parent()
    assert task is not None
    task.kill()
    process.kill()


def _until(holds: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)
