"""What keeps the platform healthy: after gold was published, and every morning in any case."""

from datetime import timedelta

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, chain
from cosmos.operators.local import (
    DbtDocsLocalOperator,
    DbtSourceLocalOperator,
    DbtTestLocalOperator,
)

from orchestration import maintenance
from orchestration.assets import GOLD
from orchestration.defaults import pipeline
from orchestration.transformations import current_project

with pipeline(
    "pbm_maintenance",
    "Freshness, dead letters, alerts, every test on every row, docs, retention.",
    AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 6 * * *", timezone="UTC"), assets=[GOLD]),
    deadline=timedelta(hours=3),
):
    dbt = maintenance.dbt_arguments(current_project())

    source_freshness = DbtSourceLocalOperator(task_id="source_freshness", **dbt)
    test_everything = DbtTestLocalOperator(
        task_id="test_everything",
        vars={"test_everything": True},
        dbt_cmd_flags=["--exclude-resource-type", "unit_test"],
        **dbt,
    )
    build_docs = DbtDocsLocalOperator(
        task_id="build_docs",
        dbt_cmd_flags=["--static"],
        callback=maintenance.keep_docs,
        **dbt,
    )
    report_dead_letters = PythonOperator(
        task_id="report_dead_letters", python_callable=maintenance.report_dead_letters
    )
    send_order_alerts = PythonOperator(
        task_id="send_order_alerts", python_callable=maintenance.send_order_alerts
    )
    apply_retention = PythonOperator(
        task_id="apply_retention", python_callable=maintenance.throw_away_old_logs
    )

    # dbt's commands one after the other: each of them wants a core and the same warehouse
    chain(test_everything, build_docs)
