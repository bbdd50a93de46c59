"""The task `launch_dataflow_job`: ingestion runs, and what was published has arrived."""

import time
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from orchestration import arrivals
from orchestration.arrivals import Arrived, Published
from orchestration.pbm_command import PbmCommand
from pbm.errors import ConfigurationError, PbmError
from pbm.settings import load_settings


class LaunchDataflowJob(BaseOperator):
    """Bring what was published to bronze: on Google Cloud by the one stream, here by a drain.

    On Google Cloud the task makes sure that the stream runs, which goes on when the task ends or is
    killed. Here it runs ``pbm ingest --from pubsub --drain``. Either way it then waits until all
    that was published is in bronze or in the dead letters. It may be killed and tried again at any
    time.

    Args:
        published: Task that published, by what it returned; templated.
        arrive_within: How long to wait for what was published.
        poll_every: How long to wait between two looks.
        gcp_conn_id: Airflow connection of Google Cloud.
    """

    template_fields = ("published",)

    def __init__(
        self,
        *,
        published: Any,  # noqa: ANN401  what the task before returned, when it has run
        arrive_within: timedelta = timedelta(minutes=15),
        poll_every: timedelta = timedelta(seconds=5),
        gcp_conn_id: str = "google_cloud_default",
        **kwargs: Any,  # noqa: ANN401  Airflow's own
    ) -> None:
        super().__init__(**kwargs)
        self.published = published
        self.arrive_within = arrive_within
        self.poll_every = poll_every
        self.gcp_conn_id = gcp_conn_id
        self._drain: PbmCommand | None = None

    def execute(self, context: Any) -> dict[str, Any]:  # noqa: ANN401, ARG002
        """Ingest, and wait."""
        published = Published.of(self.published)
        try:
            ingested = self._stream() if load_settings().on_google_cloud else self._drained()
        except ConfigurationError as error:
            raise AirflowFailException(f"{error.problem} {error.hint}") from error
        except PbmError as error:
            raise AirflowException(f"{error.problem} {error.hint}") from error
        arrived = self._wait_for(published)
        return {**ingested, "events": arrived.events, "dead_letters": arrived.refused}

    def on_kill(self) -> None:
        """End the drain with its task. The stream is never touched."""
        if self._drain is not None:
            self._drain.end()

    def _drained(self) -> dict[str, Any]:
        self._drain = PbmCommand(["ingest", "--from", "pubsub", "--drain"], self.log.info)
        result = self._drain.run()
        return {"read": result["read"]}

    def _stream(self) -> dict[str, Any]:
        from airflow.providers.google.cloud.hooks.dataflow import DataflowHook

        from orchestration import dataflow

        settings = load_settings()
        client = dataflow.Dataflow(
            DataflowHook(gcp_conn_id=self.gcp_conn_id),
            settings.google_cloud_project,
            settings.dataflow.region,
        )
        job = dataflow.ensure_running(
            client, settings.dataflow.job_name, lambda: dataflow.launch_body(settings)
        )
        return {"job_id": job.job_id}

    def _wait_for(self, published: Published) -> Arrived:
        until = time.monotonic() + self.arrive_within.total_seconds()
        while True:
            arrived = arrivals.count(published)
            missing = arrived.missing(published)
            if missing is None:
                self.log.info(
                    "All is there: %s events in bronze, %s dead letters.",
                    f"{arrived.events:,}",
                    f"{arrived.refused:,}",
                )
                return arrived
            if time.monotonic() >= until:
                raise AirflowException(
                    f"After {self.arrive_within} {missing}. See that ingestion runs "
                    "(`pbm status`, or the Dataflow job) and retry the task; `pbm reconcile` "
                    "compares everything."
                )
            self.log.info("Waiting: %s.", missing)
            time.sleep(self.poll_every.total_seconds())
