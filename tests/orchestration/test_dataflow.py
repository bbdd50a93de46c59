"""The one stream on Dataflow, against a fake of its REST interface behind Airflow's real hook."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.providers.google.cloud.hooks.dataflow import DataflowHook
from googleapiclient.discovery import build
from httplib2 import Response

from orchestration.dataflow import Dataflow, Patience, ensure_running, launch_body
from pbm.errors import CheckFailedError, ConfigurationError
from pbm.settings import DataflowSettings, Settings

NAME = "pbm-order-events"
ENDED = ("JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_DRAINED")
PATIENCE = Patience(between=10, for_start=60, for_end=60, for_lost_answer=30)


class FakeDataflow:
    """Jobs, and what becomes of them while time passes; answers as the REST interface does."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.launches: list[dict[str, Any]] = []
        self.cancelled = 0
        self.lose_answer = False
        self.refuse = False
        self.shows_after = 0.0
        self.clock = 0.0
        self.plans: dict[str, list[tuple[float, str]]] = {}

    def add(self, state: str, *later: tuple[float, str], name: str = NAME) -> str:
        """A job, and the states that it takes at some times."""
        job_id = f"job-{len(self.jobs) + 1}"
        self.jobs.append({"id": job_id, "name": name, "currentState": state, "since": self.clock})
        self.plans[job_id] = list(later)
        return job_id

    def sleep(self, seconds: float) -> None:
        self.clock += seconds
        for job in self.jobs:
            for moment, state in self.plans[job["id"]]:
                if self.clock >= moment:
                    job["currentState"] = state

    def request(
        self, uri: str, method: str = "GET", body: Any = None, **_: object
    ) -> tuple[Response, bytes]:
        """What googleapiclient calls for each request."""
        address = urlsplit(uri)
        query = {key: values[0] for key, values in parse_qs(address.query).items()}
        if address.path.endswith("/flexTemplates:launch"):
            return self._launched(json.loads(body))
        if address.path.endswith("/jobs"):
            assert query["filter"] == "ACTIVE"
            found = [
                job
                for job in self.jobs
                if job["currentState"] not in ENDED
                and job["name"] == query["name"]
                and self.clock >= job["since"] + job.get("hidden", 0)
            ]
            return _answer({"jobs": found})
        if method == "PUT":
            self.cancelled += 1
        job_id = address.path.rsplit("/", 1)[-1]
        return _answer(next(job for job in self.jobs if job["id"] == job_id))

    def _launched(self, body: dict[str, Any]) -> tuple[Response, bytes]:
        self.launches.append(body)
        if self.refuse:
            return _answer({"error": {"code": 400, "message": "no such template"}}, 400)
        name = body["launchParameter"]["jobName"]
        if any(job["name"] == name and job["currentState"] not in ENDED for job in self.jobs):
            return _answer({"error": {"code": 409, "message": "already exists"}}, 409)
        self.add("JOB_STATE_QUEUED", (self.clock + 20, "JOB_STATE_RUNNING"), name=name)
        self.jobs[-1]["hidden"] = self.shows_after
        if self.lose_answer:
            raise TimeoutError("the answer was lost")
        return _answer({"job": self.jobs[-1]})


def _answer(content: Mapping[str, Any], status: int = 200) -> tuple[Response, bytes]:
    return Response({"status": status, "content-type": "application/json"}), json.dumps(
        content
    ).encode()


@pytest.fixture
def fake() -> FakeDataflow:
    return FakeDataflow()


@pytest.fixture
def dataflow(fake: FakeDataflow, monkeypatch: pytest.MonkeyPatch) -> Dataflow:
    # the real client makes the requests: a parameter that is wrong fails
    service = build("dataflow", "v1b3", http=fake, static_discovery=True)
    monkeypatch.setattr(DataflowHook, "get_conn", lambda _: service)
    hook = DataflowHook.__new__(DataflowHook)
    monkeypatch.setattr(DataflowHook, "num_retries", 0)
    hook.poll_sleep, hook.drain_pipeline, hook.cancel_timeout = 10, False, None
    return Dataflow(hook, "a-project", "us-central1")


@pytest.fixture
def run(fake: FakeDataflow, dataflow: Dataflow) -> Callable[[], str]:
    body = {"launchParameter": {"jobName": NAME}}

    def ensure() -> str:
        job = ensure_running(dataflow, NAME, lambda: body, PATIENCE, fake.sleep)
        assert job.state == "JOB_STATE_RUNNING"
        return job.job_id

    return ensure


def active(fake: FakeDataflow) -> list[str]:
    return [job["id"] for job in fake.jobs if job["currentState"] not in ENDED]


def test_an_absent_job_is_launched_once_and_waited_for(
    fake: FakeDataflow, run: Callable[[], str]
) -> None:
    assert run() == "job-1"
    assert len(fake.launches) == 1
    assert fake.clock >= 20


def test_a_running_job_is_left_as_it_is(fake: FakeDataflow, run: Callable[[], str]) -> None:
    fake.add("JOB_STATE_RUNNING")
    assert run() == "job-1"
    assert (fake.launches, fake.cancelled, fake.clock) == ([], 0, 0)


def test_a_job_whose_name_only_begins_so_is_another(
    fake: FakeDataflow, run: Callable[[], str]
) -> None:
    fake.add("JOB_STATE_RUNNING", name=f"{NAME}-old")
    assert run() == "job-2"


@pytest.mark.parametrize("state", ["JOB_STATE_PENDING", "JOB_STATE_QUEUED"])
def test_a_job_that_starts_is_waited_for(
    fake: FakeDataflow, run: Callable[[], str], state: str
) -> None:
    fake.add(state, (30, "JOB_STATE_RUNNING"))
    assert run() == "job-1"
    assert fake.launches == []


@pytest.mark.parametrize(
    ("state", "end"),
    [("JOB_STATE_DRAINING", "JOB_STATE_DRAINED"), ("JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED")],
)
def test_a_job_that_ends_is_followed_by_another_and_never_joined_by_one(
    fake: FakeDataflow, run: Callable[[], str], state: str, end: str
) -> None:
    fake.add(state, (40, end))
    assert run() == "job-2"
    assert len(fake.launches) == 1
    assert active(fake) == ["job-2"]


def test_a_job_that_does_not_end_is_named(fake: FakeDataflow, run: Callable[[], str]) -> None:
    fake.add("JOB_STATE_DRAINING")
    with pytest.raises(CheckFailedError, match=r"job-1.*DRAINING"):
        run()
    assert fake.launches == []


@pytest.mark.parametrize("state", ENDED)
def test_a_job_that_has_ended_is_replaced(
    fake: FakeDataflow, run: Callable[[], str], state: str
) -> None:
    fake.add(state)
    assert run() == "job-2"
    assert len(fake.launches) == 1


def test_a_job_that_fails_while_it_starts_is_named_and_a_retry_launches_another(
    fake: FakeDataflow, run: Callable[[], str]
) -> None:
    fake.add("JOB_STATE_PENDING", (20, "JOB_STATE_FAILED"))
    with pytest.raises(CheckFailedError, match=r"job-1.*FAILED"):
        run()
    assert run() == "job-2"


def test_a_job_that_does_not_start_in_time_is_named_and_a_retry_attaches_again(
    fake: FakeDataflow, run: Callable[[], str]
) -> None:
    fake.add("JOB_STATE_QUEUED", (100, "JOB_STATE_RUNNING"))
    with pytest.raises(CheckFailedError, match=r"job-1.*QUEUED"):
        run()
    assert run() == "job-1"
    assert fake.launches == []


@pytest.mark.parametrize("shows_after", [0, 20])
def test_a_launch_whose_answer_was_lost_is_attached_to(
    fake: FakeDataflow, run: Callable[[], str], shows_after: float
) -> None:
    fake.lose_answer, fake.shows_after = True, shows_after
    assert run() == "job-1"
    assert run() == "job-1"
    assert len(fake.launches) == 1


def test_a_retry_after_a_task_was_killed_attaches_to_what_it_launched(
    fake: FakeDataflow, dataflow: Dataflow, run: Callable[[], str]
) -> None:
    def killed(_: float) -> None:
        raise KeyboardInterrupt

    body = {"launchParameter": {"jobName": NAME}}
    with pytest.raises(KeyboardInterrupt):
        ensure_running(dataflow, NAME, lambda: body, PATIENCE, killed)
    assert run() == "job-1"
    assert (len(fake.launches), fake.cancelled) == (1, 0)


def test_two_that_launch_at_once_end_with_one_job(fake: FakeDataflow, dataflow: Dataflow) -> None:
    def other_is_faster() -> dict[str, Any]:
        fake.add("JOB_STATE_RUNNING")
        return {"launchParameter": {"jobName": NAME}}

    job = ensure_running(dataflow, NAME, other_is_faster, PATIENCE, fake.sleep)
    assert job.job_id == "job-1"
    assert active(fake) == ["job-1"]


def test_a_launch_that_is_refused_says_so(fake: FakeDataflow, run: Callable[[], str]) -> None:
    fake.refuse = True
    with pytest.raises(Exception, match="no such template"):
        run()
    assert fake.jobs == []


def test_the_request_names_the_secret_and_all_settings() -> None:
    settings = Settings(
        google_cloud_project="a-project",
        dataflow=DataflowSettings(
            template="gs://a-bucket/templates/orders.json",
            pseudonym_key_secret="projects/p/secrets/key/versions/3",
            suppression_key_secret="projects/p/secrets/list/versions/2",
            undeliverable_topic="projects/p/topics/undeliverable",
        ),
    )
    launch = launch_body(settings)["launchParameter"]
    assert launch["jobName"] == NAME
    assert launch["containerSpecGcsPath"] == "gs://a-bucket/templates/orders.json"
    assert launch["parameters"] == {
        "input_subscription": "projects/a-project/subscriptions/orders-topic-sub",
        "pseudonym_key_secret": "projects/p/secrets/key/versions/3",
        "pseudonym_key_version": "1",
        "suppression_key_secret": "projects/p/secrets/list/versions/2",
        "undeliverable_topic": "projects/p/topics/undeliverable",
    }


def test_missing_settings_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"PBM_DATAFLOW_TEMPLATE, .*_SECRET, .*_TOPIC"):
        launch_body(Settings(dataflow=DataflowSettings()))
