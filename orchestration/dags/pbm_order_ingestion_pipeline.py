"""Orders, daily: generate, ingest, build and test silver and gold, publish."""

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param

from orchestration.assets import GOLD
from orchestration.defaults import pipeline
from orchestration.generator import order_arguments
from orchestration.ingestion_task import LaunchDataflowJob
from orchestration.layers import Layer
from orchestration.pbm_command import PbmOperator
from orchestration.reconciliation import Reconcile
from orchestration.transformations import WATERMARK_MOVES, transform

with pipeline(
    "pbm_order_ingestion_pipeline",
    "Generated orders through Pub/Sub and Beam to silver and gold.",
    "@daily",
    deadline=timedelta(hours=3),
    params={
        "orders": Param(500, type="integer", minimum=1, description="Orders to generate."),
        "seed": Param(None, type=["null", "integer"], description="By the logical date if none."),
    },
):
    run_faker_script = PbmOperator(task_id="run_faker_script", arguments=order_arguments())
    published = run_faker_script.output

    launch_dataflow_job = LaunchDataflowJob(task_id="launch_dataflow_job", published=published)
    reconcile = Reconcile(task_id="reconcile", published=published)
    publish_gold = EmptyOperator(task_id="publish_gold", outlets=[GOLD])

    transform_to_silver = transform("transform_to_silver", Layer.SILVER)
    transform_to_gold = transform("transform_to_gold", Layer.GOLD)
    move_watermark = transform("move_watermark", Layer.SERVING, environment=WATERMARK_MOVES)

    launch_dataflow_job >> transform_to_silver >> reconcile >> transform_to_gold
    transform_to_gold >> move_watermark >> publish_gold
