"""The DAGs as graphs: exact names, each dbt test in one place, and none before its models."""

import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

from orchestration import data_tests
from orchestration.layers import Layer, layer_of
from tests.conftest import run_pbm
from tests.orchestration.airflow_stack import (
    MAINTENANCE,
    ORDERS,
    SURVEYS,
    AirflowPlatform,
    airflow_platform,
    parsed,
)

GROUPS = {
    ORDERS: {
        "transform_to_silver": Layer.SILVER,
        "transform_to_gold": Layer.GOLD,
        "move_watermark": Layer.SERVING,
    },
    SURVEYS: {"transform_surveys": Layer.SURVEYS},
}


@pytest.fixture(scope="module")
def platform(services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> AirflowPlatform:
    return airflow_platform(services, tmp_path_factory.mktemp("dags"))


@pytest.fixture(scope="module")
def manifest(platform: AirflowPlatform) -> dict[str, Any]:
    return platform.manifest


@pytest.fixture(scope="module")
def watcher(platform: AirflowPlatform) -> dict[str, Any]:
    return parsed(platform.env)


@pytest.fixture(scope="module")
def local(platform: AirflowPlatform) -> dict[str, Any]:
    return parsed(platform.env, PBM_DBT_EXECUTION_MODE="local", PBM_AIRFLOW_DEADLINES="true")


def built(manifest: dict[str, Any], layer: Layer) -> list[str]:
    return sorted(
        unique_id
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] in {"model", "seed"} and layer_of(node) is layer
    )


def expected_tasks(manifest: dict[str, Any], dag_id: str, *, watches: bool) -> set[str]:
    """The ids of the tasks of a DAG, from the manifest."""
    tasks = {
        ORDERS: {"run_faker_script", "launch_dataflow_job", "reconcile", "publish_gold"},
        SURVEYS: {
            "generate_survey_data",
            "insert_survey_responses",
            "verify_survey_responses",
            "publish_surveys",
        },
    }[dag_id]
    parents = {
        parent
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        for parent in node["depends_on"]["nodes"]
    }
    for group, layer in GROUPS[dag_id].items():
        if watches:
            names = ("may_begin", "dbt_producer_watcher", "dbt_producer_watcher_done")
            tasks |= {f"{group}.{name}" for name in names}
        for unique_id in built(manifest, layer):
            node = manifest["nodes"][unique_id]
            kind = "seed" if node["resource_type"] == "seed" else "run"
            if unique_id in parents:
                tasks |= {f"{group}.{node['name']}.{one}" for one in (kind, "test")}
            else:
                tasks.add(f"{group}.{node['name']}_{kind}")
    return tasks


def test_the_dags_load_without_a_network_and_each_within_a_second(watcher: dict[str, Any]) -> None:
    assert watcher["errors"] == {}
    assert sorted(watcher["dags"]) == sorted([ORDERS, SURVEYS, MAINTENANCE])
    # a second on a machine that is not busy; `make bench` measures it
    assert max(watcher["seconds"].values()) < 3, watcher["seconds"]


@pytest.mark.parametrize("dag_id", [ORDERS, SURVEYS])
@pytest.mark.parametrize("mode", ["watcher", "local"])
def test_the_tasks_are_exactly_those_of_the_manifest(
    request: pytest.FixtureRequest, manifest: dict[str, Any], dag_id: str, mode: str
) -> None:
    said = request.getfixturevalue(mode)
    expected = expected_tasks(manifest, dag_id, watches=mode == "watcher")
    assert set(said["dags"][dag_id]["tasks"]) == expected


def test_the_maintenance_has_its_tasks(watcher: dict[str, Any]) -> None:
    assert set(watcher["dags"][MAINTENANCE]["tasks"]) == {
        "source_freshness",
        "test_everything",
        "build_docs",
        "report_dead_letters",
        "send_order_alerts",
        "apply_retention",
    }


@pytest.mark.parametrize("mode", ["watcher", "local"])
def test_each_data_test_has_one_task_after_all_that_it_looks_at(
    request: pytest.FixtureRequest, manifest: dict[str, Any], mode: str
) -> None:
    said = request.getfixturevalue(mode)
    nodes = manifest["nodes"]
    tests = {
        node["name"]: node["depends_on"]["nodes"]
        for node in nodes.values()
        if node["resource_type"] == "test"
    }
    places: Counter[str] = Counter()
    for dag_id, groups in GROUPS.items():
        tasks = said["dags"][dag_id]["tasks"]
        for task_id, task in tasks.items():
            places.update(task["tests"])
            before = upstream(tasks, task_id) if task["tests"] else set()
            for name in task["tests"]:
                for parent in tests[name]:
                    if parent in nodes and layer_of(nodes[parent]) in groups.values():
                        assert run_of(groups, nodes[parent], tasks) in before, (name, parent)
    assert places == Counter(dict.fromkeys(tests, 1))


def run_of(groups: dict[str, Layer], node: dict[str, Any], tasks: dict[str, Any]) -> str:
    (group,) = [name for name, layer in groups.items() if layer is layer_of(node)]
    kind = "seed" if node["resource_type"] == "seed" else "run"
    names = (f"{group}.{node['name']}.{kind}", f"{group}.{node['name']}_{kind}")
    (found,) = [name for name in names if name in tasks]
    return found


def upstream(tasks: dict[str, Any], task_id: str) -> set[str]:
    found: set[str] = set()
    waiting = list(tasks[task_id]["upstream"])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += tasks[one]["upstream"]
    return found


def test_what_follows_waits_for_all_that_came_before(watcher: dict[str, Any]) -> None:
    tasks = watcher["dags"][ORDERS]["tasks"]
    silver = {one for one in tasks if one.startswith("transform_to_silver.")}
    gold = {one for one in tasks if one.startswith("transform_to_gold.")}
    serving = {one for one in tasks if one.startswith("move_watermark.")}
    assert "run_faker_script" in upstream(tasks, "launch_dataflow_job")
    for one in silver:
        assert "launch_dataflow_job" in upstream(tasks, one)
    assert silver <= upstream(tasks, "reconcile")
    for one in gold:
        assert "reconcile" in upstream(tasks, one)
    for one in serving:
        assert gold <= upstream(tasks, one)
    assert set(tasks) - {"publish_gold"} == upstream(tasks, "publish_gold")
    assert {one for one in tasks if tasks[one]["outlets"]} == {"publish_gold"}
    # nothing but the first models of a group, after their build, may begin after a failure
    unusual = {one for one in tasks if tasks[one]["rule"] != "all_success"}
    for one in unusual:
        group = one.partition(".")[0]
        allowed = {f"{group}.may_begin", f"{group}.dbt_producer_watcher"}
        assert set(tasks[one]["upstream"]) <= allowed, one


@pytest.mark.parametrize("dag_id", [ORDERS, SURVEYS, MAINTENANCE])
def test_runs_follow_each_other_and_tasks_are_tried_again(
    platform: AirflowPlatform, local: dict[str, Any], dag_id: str
) -> None:
    dag = local["dags"][dag_id]
    assert (dag["max_active_runs"], dag["catchup"], dag["deadline"]) == (1, False, True)
    assert {task["retries"] for task in dag["tasks"].values()} == {0}  # as this platform says
    assert all(task["backoff"] for task in dag["tasks"].values())
    assert platform.env["PBM_AIRFLOW_RETRIES"] == "0"


@pytest.mark.parametrize("layer", list(Layer))
def test_dbt_builds_with_each_layer_just_the_tests_that_are_placed_there(
    platform: AirflowPlatform,
    manifest: dict[str, Any],
    layer: Layer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in platform.env.items():
        monkeypatch.setenv(name, value)
    folder = platform.env["PBM_DBT_PROJECT_DIR"]
    exclude = ["--exclude", *layer.exclude] if layer.exclude else []
    result = dbtRunner().invoke(
        [
            *("--quiet", "list", "--output", "json", "--output-keys", "unique_id"),
            *("--project-dir", folder, "--profiles-dir", str(platform.home)),
            *("--profile", "pbm_logistics_360", "--target", "local", "--no-static-parser"),
            *("--resource-type", "test", "model", "seed", "--select", *layer.select, *exclude),
        ]
    )
    assert result.success, result.exception
    listed = {json.loads(line)["unique_id"] for line in result.result}
    placed = data_tests.place(manifest)
    nodes = set(built(manifest, layer))
    expected = {test for node in nodes for test in placed.of_node.get(node, ())}
    assert {one for one in listed if one.startswith("test.")} == expected
    assert {one for one in listed if not one.startswith("test.")} == nodes


def test_a_changed_project_is_refused_until_it_is_read_again(
    platform: AirflowPlatform, tmp_path: Path
) -> None:
    """A bundle as a managed Airflow unpacks it: it loads alone, and not with another model."""
    done = run_pbm("airflow", "bundle", "--folder", str(tmp_path), env=platform.env)
    assert done.returncode == 0, done.stderr
    (built_file,) = tmp_path.glob("pbm-logistics-360-*-prod.tar.gz")
    folder = tmp_path / "dags"
    with tarfile.open(built_file) as archive:
        archive.extractall(folder, filter="data")
    about = json.loads((folder / "bundle.json").read_text())
    assert about["version"] in built_file.name
    env = {
        name: value for name, value in platform.env.items() if not name.startswith(("PBM_", "DBT_"))
    }
    alone = {
        "PYTHONPATH": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "PBM_DBT_TARGET": "prod",
    }
    said = parsed(env, **alone)
    assert said["errors"] == {}
    assert sorted(said["dags"]) == sorted([ORDERS, SURVEYS, MAINTENANCE])
    assert all(dag["deadline"] for dag in said["dags"].values())

    model = folder / "models" / "gold" / "dim_payers.sql"
    model.write_text(model.read_text() + "-- another project\n")
    said = parsed(env, **alone)
    assert said["dags"] == {}
    assert len(said["errors"]) == 3
    for error in said["errors"].values():
        assert "is not the one that its manifest was made of" in error
