"""What all pipelines have in common."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from orchestration.notifications import deadline_missed
from pbm.settings import load_settings

FIRST_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)


def _of_every_task() -> dict[str, Any]:
    settings = load_settings()
    return {
        "owner": "data_platform",
        "retries": settings.airflow_retries,
        "retry_delay": timedelta(seconds=settings.airflow_retry_seconds),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
    }


def pipeline(
    dag_id: str,
    description: str,
    schedule: str | AssetOrTimeSchedule | Sequence[Asset],
    *,
    deadline: timedelta,
    params: dict[str, Any] | None = None,
) -> DAG:
    """A DAG of this platform: one run at a time, retries with backoff, and a deadline.

    Args:
        dag_id: Its name.
        description: What it does, in a line.
        schedule: When it runs.
        deadline: How long after it was queued a run must have ended, or people are told.
        params: What may be chosen for a run.
    """
    return DAG(
        dag_id,
        description=description,
        schedule=schedule,
        start_date=FIRST_DAY,
        catchup=False,
        max_active_runs=1,
        default_args=_of_every_task(),
        params=params,
        render_template_as_native_obj=True,
        tags=["pbm"],
        deadline=_alert(dag_id, deadline),
    )


def _alert(dag_id: str, deadline: timedelta) -> DeadlineAlert | None:
    # `airflow dags test` of 3.3 ends every run of a DAG with a deadline with an error of its own
    # (apache/airflow#73428), so it is for Airflows that have a scheduler
    settings = load_settings()
    if not (settings.airflow_deadlines or settings.on_google_cloud):
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=deadline,
        callback=SyncCallback(deadline_missed, {"pipeline": dag_id, "allowed": str(deadline)}),
    )
