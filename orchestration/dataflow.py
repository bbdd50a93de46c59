"""The one streaming job on Dataflow: make sure that it runs, and never that two do.

Dataflow takes no second active job of a name in a region, so the name is the job's identity: it is
fixed, and every step begins by looking the name up. A stream outlives the task that started it.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow.providers.google.cloud.hooks.dataflow import DataflowHook, DataflowJobStatus

from pbm.errors import CheckFailedError, ConfigurationError, PbmError
from pbm.settings import Settings

log = logging.getLogger(__name__)

RUNNING: Final = DataflowJobStatus.JOB_STATE_RUNNING
STARTING: Final = frozenset(
    {
        DataflowJobStatus.JOB_STATE_PENDING,
        DataflowJobStatus.JOB_STATE_QUEUED,
        DataflowJobStatus.JOB_STATE_UNKNOWN,
        DataflowJobStatus.JOB_STATE_STOPPED,  # accepted, and not yet begun
    }
)
ENDING: Final = frozenset(
    {DataflowJobStatus.JOB_STATE_DRAINING, DataflowJobStatus.JOB_STATE_CANCELLING}
)


@dataclass(frozen=True)
class Job:
    """A job as Dataflow tells of it."""

    job_id: str
    name: str
    state: str


class Dataflow:
    """What is asked of Dataflow, through Airflow's hook.

    Args:
        hook: Its connection decides with which credentials.
        project: Google Cloud project.
        region: Region of the job.
    """

    def __init__(self, hook: DataflowHook, project: str, region: str) -> None:
        self._hook = hook
        self._project = project
        self._region = region

    def active(self, name: str) -> Job | None:
        """The job of just this name that has not ended, if there is one."""
        jobs = self._hook.get_conn().projects().locations().jobs()
        request = jobs.list(
            projectId=self._project, location=self._region, filter="ACTIVE", name=name
        )
        while request is not None:
            answer = request.execute(num_retries=self._hook.num_retries)
            for found in answer.get("jobs", ()):
                # the hook's own check takes any name that begins so
                if found["name"] == name:
                    return _job(found)
            request = jobs.list_next(request, answer)
        return None

    def get(self, job_id: str) -> Job:
        """A job, active or not."""
        return _job(
            self._hook.get_job(job_id=job_id, project_id=self._project, location=self._region)
        )

    def launch(self, body: Mapping[str, Any]) -> Job:
        """Launch the Flex Template, without waiting for anything."""
        return _job(
            self._hook.launch_job_with_flex_template(
                body=dict(body), project_id=self._project, location=self._region
            )
        )


def _job(found: Mapping[str, Any]) -> Job:
    state = found.get("currentState", DataflowJobStatus.JOB_STATE_UNKNOWN)
    return Job(found["id"], found["name"], state)


def launch_body(settings: Settings) -> dict[str, Any]:
    """The request that launches the Flex Template.

    Raises:
        ConfigurationError: A setting is missing. It is named.
    """
    dataflow = settings.dataflow
    needed = {
        "PBM_DATAFLOW_TEMPLATE": dataflow.template,
        "PBM_DATAFLOW_PSEUDONYM_KEY_SECRET": dataflow.pseudonym_key_secret,
        "PBM_DATAFLOW_UNDELIVERABLE_TOPIC": dataflow.undeliverable_topic,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise ConfigurationError(
            f"The stream cannot be launched without {', '.join(missing)}.",
            "Set them in the environment of Airflow; README.md describes them.",
        )
    environment = {
        "serviceAccountEmail": dataflow.service_account,
        "subnetwork": dataflow.subnetwork,
        "ipConfiguration": "WORKER_IP_PRIVATE" if dataflow.subnetwork else None,
        "enableStreamingEngine": True,
    }
    parameters = {
        "input_subscription": settings.subscription_path,
        # the secrets' names: workers fetch the keys themselves
        "pseudonym_key_secret": dataflow.pseudonym_key_secret,
        "pseudonym_key_version": str(settings.pseudonym_key_version),
        "suppression_key_secret": dataflow.suppression_key_secret,
        "undeliverable_topic": dataflow.undeliverable_topic,
    }
    return {
        "launchParameter": {
            "jobName": dataflow.job_name,
            "containerSpecGcsPath": dataflow.template,
            "parameters": {key: value for key, value in parameters.items() if value is not None},
            "environment": {key: value for key, value in environment.items() if value is not None},
        }
    }


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds.

    Attributes:
        between: Between two looks.
        for_start: For a launched job to run: workers have to start.
        for_end: For one that drains to end.
        for_lost_answer: For a job to show up whose launch had no answer.
    """

    between: float = 15
    for_start: float = 20 * 60
    for_end: float = 30 * 60
    for_lost_answer: float = 60


def ensure_running(
    dataflow: Dataflow,
    name: str,
    body: Callable[[], Mapping[str, Any]],
    patience: Patience = Patience(),
    sleep: Callable[[float], None] = time.sleep,
) -> Job:
    """Make sure that the one streaming job runs, and return it.

    Safe to call again at any time, and from a task that was killed in the middle of it before.

    Args:
        dataflow: Where it is to run.
        name: The job's name.
        body: Makes the request that launches it.
        patience: How long to wait for what.
        sleep: Waits so many seconds.

    Raises:
        CheckFailedError: It ended while it was waited for, or does not run in time.
        ConfigurationError: It cannot be launched as the settings are.
    """
    job = _until_none_is_ending(dataflow, name, patience, sleep)
    if job is None:
        job = _launch(dataflow, name, body(), patience, sleep)
        log.info("Launched the job %s (%s).", job.name, job.job_id)
    else:
        log.info("The job %s (%s) is there: %s.", job.name, job.job_id, job.state)
    waited = 0.0
    while job.state != RUNNING:
        if job.state not in STARTING:
            raise CheckFailedError(
                f"The Dataflow job {job.name} ({job.job_id}) did not come to run: {job.state}.",
                "See its log in the console; a retry of the task launches it again.",
            )
        if waited >= patience.for_start:
            raise CheckFailedError(
                f"The Dataflow job {job.name} ({job.job_id}) is still {job.state} after "
                f"{waited:,.0f} s.",
                "See its log in the console; a retry of the task waits for the same job.",
            )
        sleep(patience.between)
        waited += patience.between
        job = dataflow.get(job.job_id)
    return job


def _until_none_is_ending(
    dataflow: Dataflow, name: str, patience: Patience, sleep: Callable[[float], None]
) -> Job | None:
    waited = 0.0
    while (job := dataflow.active(name)) is not None and job.state in ENDING:
        if waited >= patience.for_end:
            raise CheckFailedError(
                f"The Dataflow job {job.name} ({job.job_id}) is still {job.state} after "
                f"{waited:,.0f} s, and no other of its name can start.",
                "Wait until it has ended, then retry the task.",
            )
        log.info("The job %s (%s) is %s: waiting for its end.", job.name, job.job_id, job.state)
        sleep(patience.between)
        waited += patience.between
    return job


def _launch(
    dataflow: Dataflow,
    name: str,
    body: Mapping[str, Any],
    patience: Patience,
    sleep: Callable[[float], None],
) -> Job:
    try:
        return dataflow.launch(body)
    except PbmError:
        raise
    except Exception as error:
        # the request may have been taken all the same, or another one of this name just before
        log.warning(
            "The launch had no good answer (%s): looking for the job.", type(error).__name__
        )
        waited = 0.0
        while (job := dataflow.active(name)) is None:
            if waited >= patience.for_lost_answer:
                raise
            sleep(patience.between)
            waited += patience.between
        return job
