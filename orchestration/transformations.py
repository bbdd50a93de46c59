"""dbt's layers as Airflow task groups, by Cosmos: a task for each model, its tests after it.

In ``watcher`` mode one ``dbt build`` builds a layer, and then the tasks of its models say what it
has reported of each; in ``local`` mode each task runs dbt itself. Either way a test counts in the
one place that ``data_tests`` gives it.
"""

from collections.abc import Mapping
from typing import Any, Final

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator, TaskGroup, TriggerRule
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    DbtResourceType,
    ExecutionMode,
    InvocationMode,
    LoadMode,
    SourceRenderingBehavior,
    TestBehavior,
)
from cosmos.dbt.graph import DbtNode
from cosmos.operators.local import DbtTestLocalOperator
from cosmos.operators.watcher import DbtConsumerWatcherSensor, DbtTestWatcherOperator

from orchestration import data_tests, dbt_project
from orchestration.data_tests import DataTests
from orchestration.dbt_project import DbtProject
from orchestration.layers import Layer, layer_of
from pbm.running import program
from pbm.settings import load_settings

PRODUCER: Final = "dbt_producer_watcher"
"""Cosmos' name of the task that runs ``dbt build``."""

WATERMARK_MOVES: Final = {"PBM_SERVING_WATERMARK_MOVES": "true"}
"""For the layer after gold: whoever starts it has seen all tests pass."""


class ModelTestsWatcher(DbtTestWatcherOperator):
    """Follows the tests that have their place after a model; runs just these when it must itself.

    Cosmos' own would run every test that looks at the model, some of them before the other models
    that they look at are built.

    Args:
        test_names: dbt's names of the tests.
    """

    def __init__(self, *, test_names: list[str], **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)
        self.test_names = test_names

    def _fallback_to_non_watcher_run(self, try_number: int, context: Any) -> bool:  # noqa: ANN401
        self.log.info("Attempt %s: running %s tests", try_number, len(self.test_names))
        self.build_and_run_cmd(context, cmd_flags=["--select", *self.test_names])
        return True


def current_project() -> DbtProject:
    """The project that the DAGs run, proved to be the one that its manifest was made of.

    Raises:
        ConfigurationError: It is another, or there is none.
    """
    settings = load_settings()
    return dbt_project.load(settings.dbt_project_dir, settings.dbt_target)


def profile(project: DbtProject) -> ProfileConfig:
    """The profile that plain dbt uses: a file, which on Google Cloud holds no secret."""
    folder = load_settings().dbt_profiles_dir or project.folder
    return ProfileConfig(
        profile_name=dbt_project.PROFILE,
        target_name=project.target,
        profiles_yml_filepath=folder / "profiles.yml",
    )


def transform(
    group_id: str,
    layer: Layer,
    *,
    environment: Mapping[str, str] | None = None,
) -> TaskGroup:
    """A task group that builds and tests one layer.

    Args:
        group_id: Name of the group.
        layer: What to build.
        environment: Variables for dbt. Options on its command line would make it read the whole
            project again.
    """
    project = current_project()
    placed = data_tests.place(project.manifest)
    watches = load_settings().dbt_execution_mode == "watcher"

    def tests_of(**what: Any) -> BaseOperator:  # noqa: ANN401
        return _tests_of(placed, watches=watches, **what)

    group: TaskGroup = DbtTaskGroup(
        group_id=group_id,
        project_config=ProjectConfig(
            dbt_project_path=project.folder,
            manifest_path=project.manifest_path,
            install_dbt_deps=False,
            env_vars=dict(environment or {}),
        ),
        profile_config=profile(project),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER if watches else ExecutionMode.LOCAL,
            invocation_mode=InvocationMode.DBT_RUNNER,
            dbt_executable_path=program("dbt"),
            setup_operator_args={"invocation_mode": InvocationMode.SUBPROCESS},
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            select=layer.select,
            exclude=layer.exclude,
            test_behavior=TestBehavior.AFTER_EACH,
            source_rendering_behavior=SourceRenderingBehavior.NONE,
            emit_datasets=False,
            node_converters={DbtResourceType.TEST: tests_of},
        ),
        operator_args={
            "trigger_rule": TriggerRule.ALL_SUCCESS,
            "should_store_compiled_sql": False,
        },
    )
    _wait_for_all_that_tests_read(group, placed)
    if watches:
        producer: Any = group.children[f"{group_id}.{PRODUCER}"]
        producer.tests_per_model = {
            node: list(tests)
            for node, tests in placed.of_node.items()
            if layer_of(project.manifest["nodes"][node]) is layer
        }
        _follow(group, producer)
    return group


def _tests_of(
    placed: DataTests,
    *,
    watches: bool,
    node: DbtNode,
    task_id: str,
    dag: DAG,
    task_group: TaskGroup,
    task_args: dict[str, Any],
    **_: Any,  # noqa: ANN401  Cosmos passes more than is needed
) -> BaseOperator:
    """The task that stands for the tests of a model or seed."""
    tests = [placed.names[one] for one in placed.of_node.get(node.unique_id, ())]
    where: dict[str, Any] = {"task_id": task_id, "dag": dag, "task_group": task_group}
    if not tests:
        # all that look at this node have their place after another
        return EmptyOperator(**where)
    if not watches:
        in_place: BaseOperator = DbtTestLocalOperator(select=" ".join(tests), **where, **task_args)
        return in_place
    context = {"dbt_node_config": node.context_dict}
    followed: BaseOperator = ModelTestsWatcher(
        test_names=tests, extra_context=context, **where, **task_args
    )
    return followed


def _follow(group: TaskGroup, producer: BaseOperator) -> None:
    """Let the models' tasks begin when the build has ended, however it did.

    Those of models that were built say so, the others fail, or build their model themselves where
    the build was cut short. None of them begins where the build was not to begin.
    """
    may_begin = EmptyOperator(task_id="may_begin", task_group=group, dag=group.dag)
    may_begin >> producer
    for task in group.iter_tasks():
        if isinstance(task, DbtConsumerWatcherSensor) and not task.upstream_task_ids:
            task.trigger_rule = TriggerRule.ALL_DONE_MIN_ONE_SUCCESS
            [may_begin, producer] >> task


def _wait_for_all_that_tests_read(group: TaskGroup, placed: DataTests) -> None:
    """Let the tests after a node wait for the other models of the group that they look at."""
    tasks = getattr(group, "tasks_map", {})
    for node, others in placed.waits_for.items():
        if node not in tasks:
            continue
        tests = _task(tasks[node], "test")
        for other in others:
            if other in tasks and (built := _task(tasks[other], "run")) is not None:
                built >> tests


def _task(task_or_group: Any, kind: str) -> Any:  # noqa: ANN401
    if isinstance(task_or_group, TaskGroup):
        for label, task in task_or_group.children.items():
            if (label.rsplit(".", 1)[-1] == "test") == (kind == "test"):
                return task
    return task_or_group
