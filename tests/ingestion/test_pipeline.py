"""The graph of production: its windows under late, repeated and refused events, and its options."""

import base64
import bz2
import json
import logging
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.io.gcp.bigquery import WriteToBigQuery
from apache_beam.io.gcp.pubsub import PubsubMessage
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing import test_stream
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.windowed_value import PaneInfo, PaneInfoTiming
from hypothesis import given
from hypothesis import strategies as st

from ingestion import bigquery, dataflow
from ingestion.bigquery import Copy, Memory, remember
from ingestion.dataflow import ToChunks
from ingestion.events import DeadLetter, Message, Pseudonymiser, RawOrder
from ingestion.live import LiveKey, Pane, window_start
from ingestion.pipeline import IngestOrders, _MakePanes, live_change
from ingestion.sinks import REFUSED
from ingestion.suppression import SubjectHasher
from pbm.errors import ConfigurationError, UsageError
from tests.ingestion import memory_tables
from tests.ingestion.bigquery_graph import land, use_endpoint

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = "a test's own key, of 32 bytes or more"
OPTIONS = [
    "--project=pbm-test",
    "--region=us-east4",
    "--temp_location=gs://pbm-test-staging/tmp",
    "--sdk_container_image=images/pbm-ingestion:1",
    "--input_subscription=projects/pbm-test/subscriptions/orders-topic-sub",
    "--pseudonym_key_secret=projects/pbm-test/secrets/pseudonym-key/versions/3",
    "--suppression_key_secret=projects/pbm-test/secrets/suppression-key/versions/2",
    "--undeliverable_topic=projects/pbm-test/topics/undeliverable",
]


def message(event_id: str, seconds: float = 0, message_id: str | None = None) -> Message:
    """A message that was published some seconds after noon."""
    payload = {
        "event_id": event_id,
        "event_type": "order_placed",
        "event_timestamp": "2026-03-01T09:00:00Z",
        "order_id": "o-1",
        "data": {"patient": {"patient_id": "p-1", "state": "ny"}},
    }
    data = json.dumps(payload).encode()
    published = NOON + timedelta(seconds=seconds)
    return Message(message_id or f"m-{event_id}-{seconds}", data, {"by": "a test"}, published)


def load_pseudonymiser() -> Pseudonymiser:
    return Pseudonymiser(KEY, 1)


def at(seconds: float) -> float:
    return NOON.timestamp() + seconds


def received(one: Message) -> TimestampedValue:
    pubsub = PubsubMessage(one.data, dict(one.attributes), one.message_id, one.publish_time)
    return TimestampedValue(pubsub, one.publish_time.timestamp())


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    memory_tables.reset()
    monkeypatch.setattr(bigquery, "write", memory_tables.write)
    return memory_tables


def run(stream: test_stream.TestStream) -> None:
    options = PipelineOptions(["--streaming", "--no_save_main_session"])
    with beam.Pipeline(runner=BundleBasedDirectRunner(), options=options) as pipeline:
        _ = (
            pipeline
            | stream
            | beam.ParDo(ToChunks())
            | IngestOrders(
                load_pseudonymiser,
                bigquery.BigQueryLanding("p", "pbm_bronze", "pbm_speed", beam.Map(lambda row: row)),
                emission="a test",
                windowing=bigquery.live_windows(),
            )
        )


def stream_from_noon() -> test_stream.TestStream:
    return test_stream.TestStream().advance_watermark_to(at(0))


# ---------------------------------------------------------------------------------------------
# Windows
# ---------------------------------------------------------------------------------------------


def test_each_event_counts_once_in_the_minute_in_which_it_was_published(tables: Any) -> None:
    run(
        stream_from_noon()
        .add_elements([received(message("a", 1)), received(message("b", 59))])
        .add_elements([received(message("c", 60))])
        .advance_watermark_to_infinity()
    )
    assert tables.live_counts() == {
        ("2026-03-01T12:00:00+00:00", "order_placed", "NY", None): 2,
        ("2026-03-01T12:01:00+00:00", "order_placed", "NY", None): 1,
    }
    assert tables.counts_by_minute() == tables.bronze_counts()


def test_a_window_emits_panes_before_its_end_and_they_add_up(tables: Any) -> None:
    run(
        stream_from_noon()
        .add_elements([received(message("a", 1))])
        .advance_processing_time(bigquery.PANE_SECONDS + 1)
        .add_elements([received(message("b", 5)), received(message("c", 6))])
        .advance_processing_time(bigquery.PANE_SECONDS + 1)
        .add_elements([received(message("d", 30))])
        .advance_watermark_to_infinity()
    )
    panes = tables.rows("live_order_metrics")
    assert [pane["event_count"] for pane in panes] == [1, 2, 1]
    assert len({pane["pane_id"] for pane in panes}) == 3
    assert tables.counts_by_minute() == {"2026-03-01T12:00": 4}


def test_an_event_that_is_late_joins_its_own_minute_in_a_further_pane(tables: Any) -> None:
    run(
        stream_from_noon()
        .add_elements([received(message("a", 1))])
        .advance_watermark_to(at(3600))
        .add_elements([received(message("late", 2))])
        .advance_processing_time(bigquery.PANE_SECONDS + 1)
        .add_elements([received(message("later", 3))])
        .advance_processing_time(bigquery.PANE_SECONDS + 1)
        .advance_watermark_to_infinity()
    )
    panes = tables.rows("live_order_metrics")
    assert [pane["event_count"] for pane in panes] == [1, 1, 1]
    assert len({pane["pane_id"] for pane in panes}) == 3
    assert tables.counts_by_minute() == tables.bronze_counts() == {"2026-03-01T12:00": 3}


def test_an_event_that_is_sent_again_counts_once_and_is_kept_as_often_as_it_came(
    tables: Any,
) -> None:
    run(
        stream_from_noon()
        .add_elements([received(message("a", 1)), received(message("a", 2))])
        .advance_watermark_to(at(7200))
        .add_elements([received(message("a", 7200))])
        .advance_watermark_to_infinity()
    )
    assert tables.counts_by_minute() == tables.bronze_counts() == {"2026-03-01T12:00": 1}
    assert len(tables.rows("raw_orders")) == 3


def test_an_earlier_copy_that_comes_later_moves_the_event_to_its_minute(tables: Any) -> None:
    run(
        stream_from_noon()
        .add_elements([received(message("a", 7200))])
        .advance_watermark_to(at(7300))
        .add_elements([received(message("a", 10))])
        .advance_watermark_to_infinity()
    )
    assert tables.counts_by_minute() == tables.bronze_counts() == {"2026-03-01T12:00": 1}


def test_an_event_is_forgotten_after_a_day(tables: Any) -> None:
    later = bigquery.REMEMBERED.total_seconds() + 120
    run(
        stream_from_noon()
        .add_elements([received(message("a", 1))])
        .advance_watermark_to(at(later))
        .add_elements([received(message("a", later))])
        .advance_watermark_to_infinity()
    )
    assert tables.counts_by_minute() == {"2026-03-01T12:00": 1, "2026-03-02T12:02": 1}


def test_an_event_as_late_as_anything_remembered_is_still_counted(tables: Any) -> None:
    late = bigquery.REMEMBERED.total_seconds() + 3600
    run(
        stream_from_noon()
        .add_elements([received(message("a", 1))])
        .advance_watermark_to(at(late))
        .add_elements([received(message("b", 2))])
        .advance_watermark_to_infinity()
    )
    assert tables.counts_by_minute() == tables.bronze_counts() == {"2026-03-01T12:00": 2}


def test_a_refused_row_is_a_dead_letter_and_no_longer_counts(tables: Any) -> None:
    tables.REFUSED_EVENTS.add("bad")
    run(
        stream_from_noon()
        .add_elements([received(message("good", 1)), received(message("bad", 2))])
        .add_elements([received(Message("m-x", b"nonsense", {}, NOON))])
        .advance_watermark_to_infinity()
    )
    assert tables.counts_by_minute() == tables.bronze_counts() == {"2026-03-01T12:00": 1}
    letters = {row["message_id"]: row for row in tables.rows("dead_letter_orders")}
    assert {name: row["error_type"] for name, row in letters.items()} == {
        "m-bad-2": REFUSED,
        "m-x": "not_json",
    }
    assert base64.b64decode(letters["m-bad-2"]["payload_base64"]) == message("bad").data
    assert "secret value" not in str(letters)


def test_the_same_pane_again_has_the_same_id_and_the_next_one_another() -> None:
    change = live_change(NOON, LiveKey("order_placed", "NY", None), 2).value
    ids = [
        next(_MakePanes(emission).process(change, pane)).pane_id
        for emission, pane in (
            ("job", pane_info(0)),
            ("job", pane_info(0)),
            ("job", pane_info(1)),
            ("another job", pane_info(0)),
        )
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def pane_info(index: int) -> PaneInfo:
    return PaneInfo(index == 0, False, PaneInfoTiming.EARLY, index, 0)  # noqa: FBT003


def test_changes_that_cancel_each_other_are_no_pane() -> None:
    change = live_change(NOON, LiveKey("order_placed", "NY", None), 0).value
    assert list(_MakePanes("job").process(change, pane_info(0))) == []


# ---------------------------------------------------------------------------------------------
# Which copy counts
# ---------------------------------------------------------------------------------------------

copies = st.lists(
    st.builds(
        Copy,
        published=st.integers(0, 3).map(lambda minute: minute * 60_000_000),
        message_id=st.sampled_from("abcd"),
        event_type=st.just("order_placed"),
        state=st.none(),
        status=st.none(),
        is_refused=st.just(value=False),
    ),
    unique_by=lambda copy: copy.message_id,
    max_size=4,
)


@given(copies, st.data())
def test_the_order_of_copies_does_not_matter(sent: list[Copy], data: st.DataObject) -> None:
    memory, counts = Memory(), Counter[int]()
    for copy in data.draw(st.permutations(sent + sent)):
        memory, changes = remember(memory, copy)
        for which, change in changes:
            counts[which.published] += change
    expected = {min(sent).published: 1} if sent else {}
    assert {minute: count for minute, count in counts.items() if count} == expected


@given(copies, st.data())
def test_a_refused_copy_never_counts_whichever_is_known_first(
    sent: list[Copy], data: st.DataObject
) -> None:
    one = Copy(0, "refused", "order_placed", None, None)
    arrivals = data.draw(st.permutations([one, one._replace(is_refused=True)]))
    memory, total = Memory(), 0
    for copy in [*arrivals, *sent]:
        memory, changes = remember(memory, copy)
        total += sum(change for _, change in changes)
    assert total == bool(sent)


# ---------------------------------------------------------------------------------------------
# Rows
# ---------------------------------------------------------------------------------------------


def test_rows_have_the_columns_and_types_of_their_tables() -> None:
    types = {
        field["name"]: (field["type"], field["mode"])
        for field in bigquery.schema_of(RawOrder, written_at="ingested_at")["fields"]
    }
    assert types["attributes"] == ("JSON", "REQUIRED")
    assert types["event_timestamp"] == ("TIMESTAMP", "REQUIRED")
    assert types["patient_key_version"] == ("INTEGER", "NULLABLE")
    assert types["ingested_at"] == ("TIMESTAMP", "REQUIRED")
    order = RawOrder("m", "e", "t", "o", NOON, None, None, 1, None, {"b": "1", "a": ""}, "{}", NOON)
    row = bigquery.row(order, "ingested_at")
    assert list(row) == list(types)
    assert row["attributes"] == '{"a": "", "b": "1"}'
    assert row["publish_time"] == "2026-03-01T12:00:00+00:00"


def test_every_column_of_time_is_known_to_the_storage_write_api() -> None:
    schemas = [
        bigquery.schema_of(RawOrder, written_at="ingested_at"),
        bigquery.schema_of(DeadLetter, written_at="failed_at"),
        bigquery.schema_of(Pane, written_at="emitted_at"),
    ]
    times = {f["name"] for s in schemas for f in s["fields"] if f["type"] == "TIMESTAMP"}
    assert times == set(bigquery._TIMES)


def test_the_write_method_reaches_the_sink() -> None:
    schema = bigquery.schema_of(RawOrder)
    streaming = bigquery.write("pbm-test:d.t", schema, bigquery.STREAMING_INSERTS)
    assert isinstance(streaming, WriteToBigQuery)
    assert streaming.insert_retry_strategy == "RETRY_ON_TRANSIENT_ERROR"
    assert bigquery.write("pbm-test:d.t", schema, "STORAGE_WRITE_API").method == "STORAGE_WRITE_API"


def test_the_publish_time_keeps_its_microseconds() -> None:
    published = NOON + timedelta(microseconds=123_457)
    one = PubsubMessage(b"{}", {"a": "b"}, "m-1", published)
    assert dataflow.message_of(one, NOON) == Message("m-1", b"{}", {"a": "b"}, published)
    assert window_start(dataflow.message_of(one, NOON).publish_time) == NOON


def test_an_undeliverable_message_keeps_its_bytes_and_attributes() -> None:
    letter = DeadLetter("m-1", base64.b64encode(b"\xff").decode(), {"a": "b"}, "x", "y", NOON)
    sent = dataflow.undeliverable_message(bigquery.dead_letter_row(letter))
    assert sent.data == b"\xff"
    assert sent.attributes["a"] == "b"
    assert sent.attributes["dead_letter_message_id"] == "m-1"


# ---------------------------------------------------------------------------------------------
# Options and the graph for Dataflow
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["--project", "--region", "--input_subscription"])
def test_an_option_that_is_missing_is_named(missing: str) -> None:
    rest = [option for option in OPTIONS if not option.startswith(missing)]
    with pytest.raises(UsageError, match=missing):
        dataflow.job_options(rest)


@pytest.mark.parametrize(
    "wrong",
    [
        "--pseudonym_key_secret=projects/p/secrets/k/versions/latest",
        "--suppression_key_secret=projects/p/secrets/k/versions/latest",
        "--input_subscription=orders-topic-sub",
        "--bigquery_write_method=FILE_LOADS",
        "--temp_location=gs://x",
    ],
)
def test_an_option_that_cannot_be_used_is_named(wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong.partition("=")[0]):
        dataflow.job_options([*OPTIONS, wrong])


def test_the_graph_for_dataflow_holds_its_steps_and_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dsn = "postgresql://somebody:a-password@host/db"
    monkeypatch.setenv("PBM_PSEUDONYM_KEY", KEY)
    monkeypatch.setenv("PBM_SUPPRESSION_KEY", KEY)
    monkeypatch.setenv("PBM_POSTGRES_DSN", dsn)
    use_endpoint(monkeypatch, "http://127.0.0.1:1")
    result = dataflow.submit([*OPTIONS, "--dry_run=True", "--no_auth"])
    proto = result.job.proto_pipeline
    steps = {step.unique_name: step for step in proto.components.transforms.values()}
    for name in (
        "Read",
        "Ingest orders/Check and pseudonymise",
        "Ingest orders/Land in bronze/Leave out who was erased",
        "Ingest orders/Land in bronze/Raw orders",
        "Ingest orders/Land in bronze/Dead letters",
        "Ingest orders/Land in bronze/Count first copies",
        "Ingest orders/Land in bronze/Undeliverable/Publish",
        "Ingest orders/Count in windows/Window by minute",
        "Ingest orders/Land the panes/Panes",
    ):
        assert name in steps
    urns = {step.spec.urn for step in steps.values()}
    assert {"beam:transform:pubsub_read:v1", "beam:transform:pubsub_write:v1"} <= urns
    windows = {
        w.trigger.WhichOneof("trigger") for w in proto.components.windowing_strategies.values()
    }
    assert "after_end_of_window" in windows
    graph = proto.SerializeToString() + unpacked(proto)
    options = json.dumps(result.job.options.get_all_options(), default=str).encode()
    assert b"projects/pbm-test/secrets/pseudonym-key/versions/3" in graph
    assert b"projects/pbm-test/secrets/suppression-key/versions/2" in graph
    for secret in (KEY.encode(), b"a-password", dsn.encode()):
        assert secret not in graph
        assert secret not in options


def unpacked(proto: Any) -> bytes:
    """What Beam has pickled, compressed and encoded into the graph."""
    found = b""
    for step in proto.components.transforms.values():
        if step.spec.urn == "beam:transform:pardo:v1":
            payload = beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload)
            packed = base64.b64decode(payload.do_fn.payload)
            found += bz2.decompress(packed) if packed[:3] == b"BZh" else zlib.decompress(packed)
    return found


def test_the_keys_come_from_secret_manager_on_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.cloud import secretmanager

    data = KEY.encode()

    class Client:
        def access_secret_version(self, name: str) -> Any:
            assert name == "projects/p/secrets/k/versions/1"
            return secretmanager.AccessSecretVersionResponse(payload={"data": data})

    monkeypatch.setattr(secretmanager, "SecretManagerServiceClient", Client)
    loaded = dataflow.load_pseudonymiser("projects/p/secrets/k/versions/1", 7)
    assert loaded.key_for("p-1") == Pseudonymiser(KEY, 1).key_for("p-1")
    assert loaded.version == 7
    hasher = dataflow.load_hasher("projects/p/secrets/k/versions/1")
    assert hasher.patient(" p-1") == SubjectHasher(KEY).patient("P-1")
    data = b"short"
    with pytest.raises(ConfigurationError, match="secrets/k") as raised:
        dataflow.load_pseudonymiser("projects/p/secrets/k/versions/1", 7)
    assert "short" not in raised.value.problem
    with pytest.raises(ConfigurationError, match="secrets/k") as raised:
        dataflow.load_hasher("projects/p/secrets/k/versions/1")
    assert "--suppression_key_secret" in raised.value.hint


# ---------------------------------------------------------------------------------------------
# A BigQuery that refuses rows
# ---------------------------------------------------------------------------------------------


class InsertAll:
    """BigQuery's ``insertAll`` in a thread: refuses the rows of some events, and counts calls."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.refused_events: set[str] = set()
        self.transient: set[str] = set()
        self.status = 200
        self.calls = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = json.dumps(outer.insert(self.path, json.loads(body))).encode()
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def insert(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        if self.status != 200:
            return {"error": {"code": self.status, "message": "no"}}
        errors = []
        for index, row in enumerate(one["json"] for one in request["rows"]):
            event = row.get("event_id")
            if event in self.refused_events or event in self.transient:
                reason = "invalid" if event in self.refused_events else "backendError"
                self.transient.discard(event)
                said = {"reason": reason, "location": "payload", "message": f"bad: {row}"}
                errors.append({"index": index, "errors": [said]})
            else:
                self.tables.setdefault(path.split("/")[-2], []).append(row)
        return {"insertErrors": errors} if errors else {}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def insert_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[InsertAll]:
    server = InsertAll()
    use_endpoint(monkeypatch, server.endpoint)
    yield server
    server.stop()


def test_refused_rows_become_dead_letters_and_cost_no_other_row(
    insert_all: InsertAll, caplog: pytest.LogCaptureFixture
) -> None:
    insert_all.refused_events = {"bad-1", "bad-2"}
    insert_all.transient = {"slow"}
    good = [f"good-{number}" for number in range(20)]
    started = time.monotonic()
    with caplog.at_level(logging.INFO):
        land([message(event, 1) for event in [*good, "bad-1", "slow", "bad-2"]], KEY)
    assert time.monotonic() - started < 60  # the default is to try ten thousand times
    landed = Counter(row["event_id"] for row in insert_all.tables["raw_orders"])
    assert landed == Counter([*good, "slow"])
    letters = insert_all.tables["dead_letter_orders"]
    assert Counter(row["message_id"] for row in letters) == {"m-bad-1-1": 1, "m-bad-2-1": 1}
    for row in letters:
        assert row["error_type"] == REFUSED
        assert row["error_message"] == "The warehouse refuses the row: invalid, payload."
        assert row["replay_count"] == 0
    assert sum(pane["event_count"] for pane in insert_all.tables["live_order_metrics"]) == 21
    assert "p-1" not in caplog.text, "a payload was logged"


def test_a_table_that_may_not_be_written_stops_the_job_and_refuses_no_row(
    insert_all: InsertAll,
) -> None:
    insert_all.status = 403
    with pytest.raises(Exception, match="BigQuery does not take rows of this job: Forbidden"):
        land([message("a", 1)], KEY)
    assert not insert_all.tables
