"""Section orchestration: what Airflow and Cosmos cost beside plain ``dbt build``.

The same bronze is built three times, each time on a server of its own: by ``dbt build``, and by the
pipeline's task groups in Cosmos' two execution modes, run by ``airflow dags test``. Then how long
Airflow takes to read the DAGs, with the network blocked.
"""

import json
import subprocess
import sys
import time
from typing import Any, Final

import psycopg

from benchmarks import bronze
from benchmarks.report import ROOT, Section
from benchmarks.stack import Bench, bench_stack
from pbm.running import program

PIPELINE: Final = "pbm_order_ingestion_pipeline"
PLAIN: Final = "plain dbt build"
# the tasks that are no dbt: ingestion is measured in its own section
_OTHERS: Final = "run_faker_script|launch_dataflow_job|reconcile"

_PARSE: Final = """
import json, socket

def refused(*_):
    raise OSError("the network is blocked")

socket.socket.connect = refused
socket.getaddrinfo = refused
import airflow.sdk, cosmos.operators.local, cosmos.operators.watcher
from airflow.dag_processing.dagbag import DagBag

seconds = []
for _ in range(6):
    bag = DagBag()
    assert not bag.import_errors, bag.import_errors
    seconds.append({one.file: one.duration.total_seconds() for one in bag.dagbag_stats})
print("SAID" + json.dumps(seconds))
"""


def run(orders: int) -> None:
    """Measure.

    Args:
        orders: Orders in bronze.
    """
    section = Section("orchestration")
    rows, seconds = _plain(orders)
    section.add(PLAIN, rows, "messages", seconds, note="models, seeds and tests; start-up included")
    for mode in ("watcher", "local"):
        tasks, seconds = _by_cosmos(orders, mode)
        section.add(
            f"Cosmos, {mode} mode", rows, "messages", seconds, baseline=PLAIN,
            note=f"{tasks} tasks; from the first to the last",
        )  # fmt: skip
    section.facts |= _parse_times()
    section.write()


def _loaded(bench: Bench, orders: int) -> int:
    with psycopg.connect(bench.dsn) as connection:
        rows = bronze.load(connection, bronze.year_of_lines(orders))
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
    return rows


def _plain(orders: int) -> tuple[int, float]:
    with bench_stack() as bench:
        rows = _loaded(bench, orders)
        env = {**bench.env, **_exported(bench)}
        print("orchestration: dbt build …", flush=True)
        started = time.perf_counter()
        subprocess.run(
            [
                *(program("dbt"), "--quiet", "build", "--exclude", "tag:survey"),
                *("--profile", "pbm_logistics_360", "--target", "local", "--no-static-parser"),
            ],
            env=env,
            # what dbt has read before is as warm as for Cosmos
            cwd=env["PBM_DBT_PROJECT_DIR"],
            stdout=sys.stderr,
            check=True,
        )
        return rows, time.perf_counter() - started


def _by_cosmos(orders: int, mode: str) -> tuple[int, float]:
    with bench_stack() as bench:
        _loaded(bench, orders)
        env = {**bench.env, **_exported(bench), "PBM_DBT_EXECUTION_MODE": mode}
        print(f"orchestration: Cosmos, {mode} …", flush=True)
        done = subprocess.run(
            [program("airflow"), "dags", "test", PIPELINE, "--mark-success-pattern", _OTHERS],
            env={**env, "PBM_AIRFLOW_RETRIES": "0"},
            cwd=env["AIRFLOW_HOME"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ValueError(f"The pipeline failed: {done.stdout[-2000:]}")
        dsn = env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
        with psycopg.connect(dsn) as connection:
            row = connection.execute(
                "select count(*), extract(epoch from max(end_date) - min(start_date))"
                " from task_instance where task_id like '%.%' and state = 'success'"
            ).fetchone()
        assert row is not None
        return int(row[0]), float(row[1])


def _exported(bench: Bench) -> dict[str, str]:
    """What `pbm env` exports, with Airflow made ready."""
    exports = bench.pbm("env")
    script = (
        f"{exports}\n{sys.executable} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    )
    printed = subprocess.run(
        ["bash", "-c", script], env=bench.env, stdout=subprocess.PIPE, check=True, text=True
    ).stdout
    environment: dict[str, str] = json.loads(printed)
    return environment


def _parse_times() -> dict[str, str]:
    with bench_stack() as bench:
        env = {**bench.env, **_exported(bench)}
        printed = subprocess.run(
            [sys.executable, "-c", _PARSE],
            env=env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            text=True,
        ).stdout
    (said,) = [line for line in printed.splitlines() if line.startswith("SAID")]
    runs: list[dict[str, Any]] = json.loads(said.removeprefix("SAID"))
    facts = {}
    for file in sorted(runs[0]):
        later = sorted(float(one[file]) for one in runs[1:])
        name = file.rsplit("/", 1)[-1]
        facts[f"loading {name}, network blocked, median of {len(later)}"] = (
            f"{later[len(later) // 2]:.2f} s"
        )
        facts[f"loading {name}, the first time, with what it imports"] = f"{runs[0][file]:.2f} s"
    return facts
