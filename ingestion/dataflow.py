"""The job in production: a Dataflow stream from a Pub/Sub subscription to BigQuery.

Dataflow acknowledges a message after it has stored it, removes what Pub/Sub delivers twice within
minutes, and runs a bundle that failed again. Each worker fetches its keys from Secret Manager; the
job's options and its graph hold the names of the secrets only.
"""

import argparse
import base64
import functools
import json
import re
import sys
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub, WriteToPubSub
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.runners.runner import PipelineResult

from ingestion import bigquery
from ingestion.bigquery_suppression import LeaveOutErased
from ingestion.events import Message, Pseudonymiser
from ingestion.pipeline import IngestOrders
from ingestion.suppression import SubjectHasher
from pbm.errors import ConfigurationError, PbmError, ServiceError, UsageError

RUNNER: Final = "DataflowRunner"

_Made = TypeVar("_Made")

_NUMBERED: Final = r"projects/[^/]+/secrets/[^/]+/versions/[0-9]+"

PATTERNS: Final = {
    "input_subscription": r"projects/[^/]+/subscriptions/[^/]+",
    "pseudonym_key_secret": _NUMBERED,
    "suppression_key_secret": _NUMBERED,
    "undeliverable_topic": r"projects/[^/]+/topics/[^/]+",
    "output_project": r"[a-z][a-z0-9.:-]+",
    "bronze_dataset": r"[A-Za-z0-9_]+",
    "speed_dataset": r"[A-Za-z0-9_]+",
    "ops_dataset": r"[A-Za-z0-9_]+",
    "pseudonym_key_version": r"[1-9][0-9]*",
    "bigquery_write_method": "|".join(bigquery.WRITE_METHODS),
}
"""What the job's own options must look like, all of the text; the template's metadata say the same.

A secret has a version, not ``latest``: every worker must use the same key.
"""

REQUIRED: Final = ("input_subscription", "pseudonym_key_secret", "undeliverable_topic")
"""The job's own options that have no default."""


class IngestOptions(PipelineOptions):
    """The job's own options, beside Beam's."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--input_subscription",
            help="Pub/Sub subscription to read: projects/PROJECT/subscriptions/NAME.",
        )
        parser.add_argument(
            "--output_project", help="Project of the BigQuery datasets; --project if not given."
        )
        parser.add_argument(
            "--bronze_dataset",
            default="pbm_bronze",
            help="BigQuery dataset of raw_orders and dead_letter_orders.",
        )
        parser.add_argument(
            "--speed_dataset",
            default="pbm_speed",
            help="BigQuery dataset of live_order_metrics.",
        )
        parser.add_argument(
            "--ops_dataset",
            default="pbm_ops",
            help="BigQuery dataset of suppressed_subjects: whose messages are not kept.",
        )
        parser.add_argument(
            "--suppression_key_secret",
            help="Secret that holds the key of that list: "
            "projects/PROJECT/secrets/NAME/versions/NUMBER. Needed once a patient was erased.",
        )
        parser.add_argument(
            "--pseudonym_key_secret",
            help="Secret that holds the key of the patient pseudonyms: "
            "projects/PROJECT/secrets/NAME/versions/NUMBER.",
        )
        parser.add_argument(
            "--pseudonym_key_version",
            default="1",
            help="Version of that key, landed beside every pseudonym.",
        )
        parser.add_argument(
            "--undeliverable_topic",
            help="Pub/Sub topic for messages that not even the dead letters' table takes: "
            "projects/PROJECT/topics/NAME.",
        )
        parser.add_argument(
            "--bigquery_write_method",
            default=bigquery.STREAMING_INSERTS,
            help="How rows are written: STREAMING_INSERTS or STORAGE_WRITE_API.",
        )


def job_options(arguments: Sequence[str]) -> PipelineOptions:
    """The options of a job, checked.

    Args:
        arguments: Beam's options and the job's own, as on a command line.

    Raises:
        UsageError: An option is missing or cannot be used. It is named.
    """
    options = PipelineOptions(list(arguments))
    own = options.view_as(IngestOptions)
    cloud = options.view_as(GoogleCloudOptions)
    values: dict[str, Any] = {name: getattr(own, name) for name in PATTERNS}
    needed = {name: values[name] for name in REQUIRED}
    needed |= {"project": cloud.project, "region": cloud.region}
    needed |= {"temp_location": cloud.temp_location or cloud.staging_location}
    # the image holds this project and what it needs: workers install nothing when they start
    needed |= {"sdk_container_image": options.view_as(WorkerOptions).sdk_container_image}
    missing = [f"--{name}" for name, value in needed.items() if not value]
    if missing:
        raise UsageError(
            f"The Dataflow job needs {', '.join(missing)}.",
            "Give them after --runner DataflowRunner, as Beam writes them: --name=value.",
        )
    for name, value in values.items():
        if value is not None and not re.fullmatch(PATTERNS[name], value):
            raise UsageError(
                f"The option --{name} cannot be used.", f"It must match {PATTERNS[name]}."
            )
    for name in ("temp_location", "staging_location"):
        place = getattr(cloud, name)
        # Beam would make a bucket of its own choosing
        if place and not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]{2,}/.+", place):
            raise UsageError(
                f"The option --{name} cannot be used.", "It must be gs://BUCKET/FOLDER."
            )
    options.view_as(StandardOptions).streaming = True
    options.view_as(SetupOptions).save_main_session = False
    return options


def load_pseudonymiser(secret: str, version: int) -> Pseudonymiser:
    """The key of the pseudonyms from Secret Manager, on the worker that uses it.

    Args:
        secret: Resource name of the secret's version.
        version: The key's version.

    Raises:
        ServiceError: The secret cannot be read.
        ConfigurationError: It holds no usable key.
    """
    return _of_secret(secret, "--pseudonym_key_secret", lambda key: Pseudonymiser(key, version))


def load_hasher(secret: str) -> SubjectHasher:
    """The key of the list of erased patients from Secret Manager, on the worker that uses it.

    Args:
        secret: Resource name of the secret's version.

    Raises:
        ServiceError: The secret cannot be read.
        ConfigurationError: It holds no usable key.
    """
    return _of_secret(secret, "--suppression_key_secret", SubjectHasher)


def _of_secret(secret: str, option: str, make: Callable[[str], _Made]) -> _Made:
    from google.api_core import exceptions
    from google.cloud import secretmanager

    client = secretmanager.SecretManagerServiceClient()
    try:
        data: bytes = client.access_secret_version(name=secret).payload.data
    except exceptions.GoogleAPICallError as error:
        raise ServiceError(
            f"The secret {secret} cannot be read: {type(error).__name__}.",
            "Give the job's service account the role Secret Manager Secret Accessor on it.",
        ) from None
    try:
        return make(data.decode())
    except (UnicodeDecodeError, ConfigurationError):
        raise ConfigurationError(
            f"The secret {secret} holds no key of 32 bytes of UTF-8 text or more.",
            f"Add a version that does, and name it in {option}.",
        ) from None


class ToChunks(beam.DoFn):
    """Pub/Sub messages to chunks of one: a stream's bundles are small, and its sinks batch."""

    def process(
        self,
        element: PubsubMessage,
        timestamp: Any = beam.DoFn.TimestampParam,  # noqa: ANN401
    ) -> list[list[Message]]:
        """One message in, one chunk out."""
        return [[message_of(element, timestamp.to_utc_datetime(has_tz=True))]]


def message_of(received: PubsubMessage, timestamp: datetime) -> Message:
    """A message as Pub/Sub gives it.

    Args:
        received: What Beam's source hands out.
        timestamp: The element's time, which is the publish time where the message has none.
    """
    published = received.publish_time or timestamp
    # Pub/Sub's type has nanoseconds; the warehouse has microseconds
    when = datetime.fromtimestamp(published.timestamp(), UTC).replace(
        microsecond=published.microsecond
    )
    return Message(received.message_id, received.data or b"", received.attributes or {}, when)


class Undeliverable(beam.PTransform):
    """Rows of dead letters to a topic: the bytes as received, and what is known of them.

    Args:
        topic: Full resource name.
    """

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        """Publish them."""
        return (
            rows
            | "Make messages" >> beam.Map(undeliverable_message)
            | "Publish" >> WriteToPubSub(self._topic, with_attributes=True)
        )


def undeliverable_message(letter: dict[str, Any]) -> PubsubMessage:
    """A dead letter as a message; the original's attributes keep their names."""
    about = ("message_id", "error_type", "error_message", "publish_time")
    return PubsubMessage(
        base64.b64decode(letter["payload_base64"]),
        {
            **json.loads(letter["attributes"]),
            **{f"dead_letter_{name}": str(letter[name]) for name in about},
        },
    )


def build(pipeline: beam.Pipeline) -> None:
    """Put the job's graph on a pipeline that has the options of ``job_options``."""
    own = pipeline.options.view_as(IngestOptions)
    _ = (
        pipeline
        | "Read" >> ReadFromPubSub(subscription=own.input_subscription, with_attributes=True)
        | "To chunks" >> beam.ParDo(ToChunks())
        | "Ingest orders" >> ingest_orders(pipeline.options, Undeliverable(own.undeliverable_topic))
    )


def ingest_orders(options: PipelineOptions, undeliverable: beam.PTransform) -> IngestOrders:
    """The graph that every runner shares, landing in BigQuery.

    Args:
        options: Those of ``job_options``.
        undeliverable: See ``BigQueryLanding``.
    """
    own = options.view_as(IngestOptions)
    project = own.output_project or options.view_as(GoogleCloudOptions).project
    return IngestOrders(
        functools.partial(
            load_pseudonymiser, own.pseudonym_key_secret, int(own.pseudonym_key_version)
        ),
        bigquery.BigQueryLanding(
            project,
            own.bronze_dataset,
            own.speed_dataset,
            undeliverable,
            own.bigquery_write_method,
            leave_out=LeaveOutErased(
                project,
                own.ops_dataset,
                own.suppression_key_secret
                and functools.partial(load_hasher, own.suppression_key_secret),
            ),
        ),
        # an update of the job counts its panes from zero again
        emission=str(uuid.uuid4()),
        windowing=bigquery.live_windows(),
    )


def submit(arguments: Sequence[str]) -> PipelineResult:
    """Build the job and hand it to Dataflow, without waiting: a stream has no end.

    Args:
        arguments: Beam's options and the job's own. ``--dry_run=True`` builds and checks the job
            without sending it; ``--template_location`` writes it to a file instead.

    Raises:
        UsageError: An option is missing or cannot be used.
        ServiceError: Google Cloud does not take the job.
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    options = job_options([f"--runner={RUNNER}", *arguments])
    try:
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        return pipeline.run()
    except ValueError as error:
        raise UsageError(
            f"Beam does not take the job's options: {error}",
            "Correct them; `pbm ingest --help` tells where they are described.",
        ) from error
    except (exceptions.GoogleAPICallError, GoogleAuthError) as error:
        raise ServiceError(
            f"Google Cloud did not take the job: {type(error).__name__}.",
            "Check the credentials (`gcloud auth application-default login`), the project, and "
            "the rights on Dataflow and on the bucket of --temp_location.",
        ) from error


def main(arguments: Sequence[str]) -> int:
    """What the Flex Template's launcher runs. Returns the exit code."""
    try:
        submit([one for one in arguments if not one.startswith("--runner")])
    except PbmError as error:
        sys.stderr.write(f"{error.problem} {error.hint}\n")
        return error.exit_code
    return 0
