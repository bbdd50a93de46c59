"""The job's graph over messages of a test, with Beam's real sinks, to an endpoint on this machine.

Beam has no option for an endpoint, so that the seams are patched here, in test code only.
"""

from collections.abc import Sequence

import apache_beam as beam
import google.auth
import pytest
from apache_beam.internal.gcp import auth
from apache_beam.io.gcp.internal.clients import bigquery as bigquery_client
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from google.auth.credentials import AnonymousCredentials

from ingestion import bigquery
from ingestion.events import Message, Pseudonymiser
from ingestion.pipeline import IngestOrders

PROJECT = "pbm-test"


def use_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Let every BigQuery client of this process talk to ``endpoint``, without credentials."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", endpoint)
    monkeypatch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), PROJECT))
    monkeypatch.setattr(auth._Credentials, "_credentials_init", False)
    monkeypatch.setattr(auth._Credentials, "_credentials", None)
    monkeypatch.setattr(bigquery_client.BigqueryV2, "BASE_URL", f"{endpoint}/bigquery/v2/")


class Undeliverable(beam.PTransform):  # type: ignore[misc]  # Beam has no types
    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return rows | beam.Map(_fail)


def _fail(_: object) -> None:
    raise AssertionError("a dead letter was refused")


def land(messages: Sequence[Message], key: str, leave_out: beam.DoFn | None = None) -> None:
    """Run the graph to its end, as one bounded pipeline."""
    options = PipelineOptions([f"--project={PROJECT}", "--no_save_main_session"])
    with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
        _ = (
            pipeline
            | beam.Create([list(messages[:7]), list(messages[7:])], reshuffle=False)
            | IngestOrders(
                lambda: Pseudonymiser(key, 1),
                bigquery.BigQueryLanding(
                    PROJECT, "pbm_bronze", "pbm_speed", Undeliverable(), leave_out=leave_out
                ),
                emission="a test",
                # this runner has no clock for early panes; TestStream tests those
            )
        )
