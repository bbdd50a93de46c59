"""A platform with an Airflow of its own, and what was in it after a run."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from tests.conftest import PROJECT_ROOT, Platform, new_platform

AIRFLOW = str(Path(sys.executable).parent / "airflow")
ORDERS = "pbm_order_ingestion_pipeline"
SURVEYS = "survey_data_ingestion_pipeline"
MAINTENANCE = "pbm_maintenance"


@dataclass
class AirflowPlatform(Platform):
    """A platform whose environment is what ``pbm env`` exports, and what its runs have said."""

    logs: list[str] = field(default_factory=list)

    @property
    def airflow_home(self) -> Path:
        return Path(self.env["AIRFLOW_HOME"])

    @property
    def manifest(self) -> dict[str, Any]:
        """dbt's manifest, as the DAGs read it."""
        path = Path(self.env["PBM_DBT_PROJECT_DIR"]) / "target" / "manifest.json"
        content = json.loads(path.read_text())
        assert isinstance(content, dict)
        return content

    def dags_test(
        self, dag_id: str, when: str = "", /, **conf: object
    ) -> subprocess.CompletedProcess[str]:
        """``airflow dags test``, as a person types it."""
        moment = [when] if when else []
        return subprocess.run(
            [AIRFLOW, "dags", "test", dag_id, *moment, "--conf", json.dumps(conf)],
            env=self.env,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def airflow_rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a query on Airflow's own database."""
        dsn = self.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
        with psycopg.connect(dsn) as connection:
            return connection.execute(query.encode(), parameters or None).fetchall()

    def states(self, dag_id: str) -> dict[str, str]:
        """State of each task of the latest run of a DAG."""
        return dict(
            self.airflow_rows(
                "select task_id, state from task_instance where dag_id = %s and run_id = ("
                "select run_id from dag_run where dag_id = %s order by id desc limit 1)",
                dag_id,
                dag_id,
            )
        )

    def published(self, asset: str) -> int:
        """How often an asset was published."""
        ((count,),) = self.airflow_rows(
            "select count(*) from asset_event join asset on asset.id = asset_id where name = %s",
            asset,
        )
        return int(count)


def airflow_platform(services: dict[str, Any], folder: Path) -> AirflowPlatform:
    """A platform of its own, with Airflow made ready by ``pbm env``."""
    plain = new_platform(services, folder)
    env = {**plain.env, "PBM_AIRFLOW_RETRIES": "0", "PBM_AIRFLOW_RETRY_SECONDS": "1"}
    for ours in ("DBT_TARGET_PATH", "DBT_LOG_PATH"):
        env.pop(ours)
    plain = replace(plain, env=env)
    # what `pbm up` does for a topic and subscription of its own
    plain.pbm("up")
    exported = {}
    for line in plain.pbm("env").stdout.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        exported[name] = shlex.split(value)[0]
    return AirflowPlatform(plain.home, plain.dsn, {**env, **exported})


PARSE = """
import json, resource, socket, sys, time

def refused(*_):
    raise OSError("the network is blocked")

socket.socket.connect = refused
socket.getaddrinfo = refused
import airflow.sdk, cosmos.operators.watcher, cosmos.operators.local
from airflow.dag_processing.dagbag import DagBag

def tests_of(task):
    names = getattr(task, "test_names", None)
    if type(task).__name__ == "DbtTestLocalOperator" and task.select:
        names = task.select.split()
    return names or []

DagBag()
bag = DagBag()  # once more: what is measured is the files, not the first import of Airflow
said = {
    "errors": bag.import_errors,
    "seconds": {one.file: one.duration.total_seconds() for one in bag.dagbag_stats},
    "dags": {
        dag.dag_id: {
            "max_active_runs": dag.max_active_runs,
            "catchup": dag.catchup,
            "deadline": bool(dag.deadline),
            "tasks": {
                task.task_id: {
                    "kind": type(task).__name__,
                    "upstream": sorted(task.upstream_task_ids),
                    "rule": task.trigger_rule.value,
                    "retries": task.retries,
                    "backoff": bool(task.retry_exponential_backoff),
                    "tests": tests_of(task),
                    "outlets": [one.name for one in task.outlets],
                }
                for task in dag.tasks
            },
        }
        for dag in bag.dags.values()
    },
}
print("SAID" + json.dumps(said))
"""


def parsed(env: dict[str, str], **changes: str) -> dict[str, Any]:
    """The DAGs as a process without any network reads them."""
    done = subprocess.run(
        [sys.executable, "-c", PARSE],
        env={**os.environ, **env, **changes},
        cwd=PROJECT_ROOT / "docs",  # not the repository: its packages must be found otherwise
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("SAID")]
    assert lines, done.stderr[-3000:]
    content = json.loads(lines[-1].removeprefix("SAID"))
    assert isinstance(content, dict)
    return content
