"""Erasing a patient and changing the key in BigQuery, through an emulator of its interface.

The emulator does what the statements say; ZetaSQL says whether BigQuery would take each of them.
That BigQuery keeps together what stands between begin and commit, and refuses to change rows that
were streamed a moment ago, is its own documentation's word.
"""

import base64
import functools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from google.api_core import exceptions
from google.cloud import bigquery
from typer.testing import CliRunner

from ingestion import privacy_commands
from ingestion.bigquery_client import BigQuery
from ingestion.bigquery_erasure import BigQueryEraser
from ingestion.bigquery_pseudonyms import BigQueryPseudonymKeys
from ingestion.bigquery_suppression import LeaveOutErased
from ingestion.events import Message, Pseudonymiser
from ingestion.suppression import ERASED, SubjectHasher
from ingestion.surveys import SurveyResponse, insert
from pbm.errors import ConfigurationError, InputError, ServiceError
from pbm.settings import load_settings
from tests.bigquery.zetasql_engine import Table, ZetaSql
from tests.bigquery_emulator import create_tables, emulator
from tests.conftest import Platform
from tests.ingestion.bigquery_graph import PROJECT, land, use_endpoint

KEY, NEXT_KEY = "k" * 32, "n" * 32
HASHER = functools.partial(SubjectHasher, "s" * 32)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENT, EMAIL = "PT-0001-erase-me", "erase.me@example.com"
OTHER = "PT-0002-stays"


def placed(
    message_id: str, order_id: str, patient_id: str, minute: int = 0, **data: Any
) -> Message:
    patient = {"patient_id": patient_id, "state": "ny"}
    if patient_id == PATIENT:
        patient["email"] = EMAIL
    return event(message_id, "order_placed", order_id, minute, patient=patient, **data)


def event(message_id: str, event_type: str, order_id: str, minute: int, **data: Any) -> Message:
    content = {
        "event_id": f"event of {message_id.partition('@')[0]}",
        "event_type": event_type,
        "event_timestamp": "2026-03-01T09:00:00Z",
        "order_id": order_id,
        "data": data,
    }
    published = NOON + timedelta(minutes=minute)
    return Message(message_id, json.dumps(content).encode(), {}, published)


ORDERS = ("order-a-of-patient", 'order "b" of the patiént')
THEIRS = [
    placed("m1", ORDERS[0], f" {PATIENT.lower()} "),
    placed("m1@again", ORDERS[0], PATIENT, minute=1),
    placed("m2", ORDERS[1], PATIENT, minute=2),
    event("m3", "order_shipped", ORDERS[0], 3, carrier_id="UPS"),
]
OF_OTHERS = [
    placed("m4", "order-of-other", OTHER, minute=3),
    event("m5", "order_shipped", "order-of-other", 4),
]
REFUSED = [
    Message("bad1", b'{"patient": {"patient_id": "%s"}}' % PATIENT.encode(), {"a": "b"}, NOON),
    Message("bad2", b"no json, and " + EMAIL.upper().encode(), {}, NOON),
    Message("bad3", b"no json of nobody", {}, NOON),
]


@dataclass
class Cloud:
    """A warehouse on an emulator, and the statements that were sent to it."""

    client: bigquery.Client
    platform: Platform
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def warehouse(self) -> BigQuery:
        return BigQuery(self.client)

    def eraser(self, *, versions: Sequence[tuple[str, int]] = ((KEY, 1),)) -> BigQueryEraser:
        keys = [Pseudonymiser(key, version) for key, version in versions]
        return BigQueryEraser(self.warehouse, self.platform.dsn, keys, HASHER(), settles=0.2)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self.client.query(query).result()]

    def land(self, messages: Sequence[Message]) -> None:
        land(messages, KEY, LeaveOutErased(PROJECT, "pbm_ops", HASHER))

    def places_with(self, *texts: str) -> set[str]:
        """The tables in which a text stands, as Python reads their rows."""
        found = set()
        for dataset in self.client.list_datasets():
            for one in self.client.list_tables(dataset.dataset_id):
                for row in self.client.list_rows(self.client.get_table(one.reference)):
                    cells = dict(row)
                    if "payload_base64" in cells:
                        cells["payload"] = base64.b64decode(cells["payload_base64"]).decode()
                    content = " ".join(map(str, cells.values())).lower()
                    if any(text.lower() in content for text in texts):
                        found.add(f"{dataset.dataset_id}.{one.table_id}")
        return found

    def live_events(self) -> dict[tuple[str, str | None], int]:
        return {
            (kind, state): events
            for kind, state, events in self.rows(
                "select event_type, state, sum(event_count) from pbm_speed.live_order_metrics"
                " group by 1, 2 having sum(event_count) <> 0"
            )
        }


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulator(tmp_path_factory.mktemp("emulator"), PROJECT) as address:
        yield address


@pytest.fixture
def cloud(endpoint: str, monkeypatch: pytest.MonkeyPatch, platform: Platform) -> Iterator[Cloud]:
    """A warehouse with orders of two patients, and what a build has made of them."""
    use_endpoint(monkeypatch, endpoint)
    client = bigquery.Client(project=PROJECT)
    create_tables(client)
    found = Cloud(client, platform)
    query = BigQuery._query

    def noted(self: BigQuery, text: str, parameters: Any) -> Any:
        found.sent.append((text, dict(parameters)))
        return query(self, text, parameters)

    monkeypatch.setattr(BigQuery, "_query", noted)
    found.land([*THEIRS, *OF_OTHERS, *REFUSED])
    build(found)
    answer = SurveyResponse("r1", ORDERS[1], NOON, NOON, "mail", "en", 10, 5, 5, 5, 5, 5)
    insert(platform.dsn, [answer, replace(answer, response_id="r2", order_id="order-of-other")])
    yield found
    for dataset in list(client.list_datasets()):
        client.delete_dataset(dataset.dataset_id, delete_contents=True)
    client.close()


BUILD = r"""
create or replace table pbm_silver.stg_order_events as
select
    event_id, order_id, patient_key, patient_key_version, cast(null as string) as other_order_ids,
    cast(null as string) as other_patient_keys
from pbm_bronze.raw_orders;

-- an earlier copy of another's event had named the patient and an order
update pbm_silver.stg_order_events
set
    other_order_ids = '["order \\"b\\" of the patiént"]',
    other_patient_keys = '["{key}"]'
where event_id = 'event of m4';

create or replace table pbm_gold.dim_patients as
select distinct patient_key, patient_key_version, 'NY' as state
from pbm_bronze.raw_orders
where patient_key is not null;

create or replace table pbm_gold.fact_order_events as
select event_id, order_id from pbm_bronze.raw_orders;

create or replace table pbm_gold.daily_order_summary as select 1 as orders_placed;

create or replace view pbm_serving.order_status_now as
select order_id, patient_key from pbm_silver.stg_order_events
"""


def build(cloud: Cloud) -> None:
    """Tables as a build makes them, with the columns that an erasure looks at."""
    for dataset in ("pbm_silver", "pbm_gold", "pbm_serving"):
        cloud.client.create_dataset(dataset, exists_ok=True)
    key = Pseudonymiser(KEY, 1).key_for(PATIENT)
    for statement in BUILD.replace("{key}", key).split(";\n"):
        cloud.client.query(statement).result()


def test_a_patient_is_erased_from_every_table_and_nothing_comes_back(cloud: Cloud) -> None:
    key = Pseudonymiser(KEY, 1).key_for(PATIENT)
    texts = (PATIENT, EMAIL, key, *ORDERS, 'order \\"b\\" of the patiént')
    assert cloud.places_with(*texts) == {
        "pbm_bronze.raw_orders", "pbm_bronze.dead_letter_orders", "pbm_silver.stg_order_events",
        "pbm_gold.dim_patients", "pbm_gold.fact_order_events", "pbm_serving.order_status_now",
    }  # fmt: skip
    assert cloud.live_events() == {
        ("order_placed", "NY"): 3, ("order_shipped", None): 2,
    }  # fmt: skip
    eraser = cloud.eraser()
    wanted = {
        "pbm_bronze.raw_orders": 4, "pbm_bronze.dead_letter_orders": 2,
        "pbm_silver.stg_order_events": 6, "pbm_gold.dim_patients": 1,
        "pbm_gold.fact_order_events": 4, "survey_data.survey_responses": 1,
    }  # fmt: skip
    counted = eraser.count(PATIENT)
    assert {table: rows for table, rows in counted.items() if rows} == wanted
    assert cloud.rows("select count(*) from pbm_bronze.raw_orders") == [(6,)]

    erased = eraser.erase(f"\t{PATIENT.lower()} ")

    assert {table: rows for table, rows in erased.rows_by_table.items() if rows} == wanted
    assert (erased.orders, erased.searched, erased.shared) == (2, 5, False)
    assert cloud.places_with(*texts) == set()
    assert cloud.live_events() == {("order_placed", "NY"): 1, ("order_shipped", None): 1}
    assert cloud.rows("select order_id, count(*) from pbm_bronze.raw_orders group by 1") == [
        ("order-of-other", 2)
    ]
    assert cloud.rows("select event_id, other_order_ids, other_patient_keys"
                      " from pbm_silver.stg_order_events order by 1") == [
        ("event of m4", None, None), ("event of m5", None, None),
    ]  # fmt: skip
    letters = cloud.rows("select message_id, error_type, payload_base64, to_json_string(attributes)"
                         " from pbm_bronze.dead_letter_orders order by 1")  # fmt: skip
    assert [(one, kind, content) for one, kind, content, _ in letters if one != "bad3"] == [
        (one, ERASED, "") for one in ("bad1", "bad2", "m1", "m1@again", "m2", "m3")
    ]
    assert {json.dumps(json.loads(attributes)) for *_, attributes in letters} == {"{}"}
    ((rows,),) = cloud.rows("select to_json_string(rows_by_table) from pbm_ops.erasures")
    assert "raw_orders" in rows
    assert cloud.platform.rows("select order_id from survey_data.survey_responses") == [
        ("order-of-other",)
    ]

    # the source goes on, and Pub/Sub delivers again
    cloud.land([*(one._replace(message_id=f"{one.message_id}-late") for one in THEIRS), REFUSED[0]])
    assert cloud.places_with(*texts) == set()
    assert cloud.rows("select count(*) from pbm_bronze.raw_orders") == [(2,)]
    assert cloud.rows("select count(*) from pbm_bronze.dead_letter_orders"
                      f" where error_type = '{ERASED}'") == [(6 + 5,)]  # fmt: skip
    assert cloud.live_events() == {("order_placed", "NY"): 1, ("order_shipped", None): 1}
    again = eraser.erase(PATIENT)
    assert again.rows_by_table.total() == 0
    with pytest.raises(InputError, match="No layer has anything"):
        eraser.erase("PT-nobody")
    eraser.close()


def test_what_a_build_brings_back_meanwhile_is_erased_too(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = iter([1, 0])

    def jobs_older_than(_: BigQuery, moment: datetime) -> int:
        found = next(running, 0)
        if found:  # a build that had read the patient ends
            cloud.client.query(
                "insert into pbm_gold.fact_order_events (event_id, order_id)"
                f" values ('event of m1', '{ORDERS[0]}')"
            ).result()
        assert moment.tzinfo
        return found

    monkeypatch.setattr(BigQuery, "jobs_older_than", jobs_older_than)
    eraser = cloud.eraser()
    erased = eraser.erase(PATIENT)
    assert erased.passes == 3
    assert erased.rows_by_table["pbm_gold.fact_order_events"] == 5
    assert "pbm_gold.fact_order_events" not in cloud.places_with(ORDERS[0])
    eraser.close()


def test_an_erasure_that_was_ended_is_finished_by_the_next(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, closing(cloud.eraser()) as eraser:
        patch.setattr(BigQuery, "jobs_older_than", ended)
        with pytest.raises(KeyboardInterrupt):
            eraser.erase(PATIENT)
    cloud.client.query(
        "insert into pbm_gold.fact_order_events (event_id, order_id)"
        f" values ('event of m1', '{ORDERS[0]}')"
    ).result()
    # and a change of the key that was ended has left what it computed
    key = Pseudonymiser(KEY, 1).key_for(PATIENT)
    computed = [{"message_id": "m1", "new_key": key}, {"message_id": "m4", "new_key": "another's"}]
    cloud.warehouse.load("pbm_ops.new_pseudonyms", computed)
    left = {"pbm_gold.fact_order_events": 1, "pbm_ops.new_pseudonyms": 1}
    with closing(cloud.eraser()) as eraser:
        counted = eraser.count(PATIENT)
        assert {table: rows for table, rows in counted.items() if rows} == left
        erased = eraser.erase(PATIENT)
    assert {table: rows for table, rows in erased.rows_by_table.items() if rows} == left
    assert cloud.places_with(key, *ORDERS) == set()
    assert cloud.rows("select message_id from pbm_ops.new_pseudonyms") == [("m4",)]
    assert cloud.rows("select order_id, count(*) from pbm_gold.fact_order_events group by 1") == [
        ("order-of-other", 2)
    ]


def test_a_build_that_never_ends_is_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BigQuery, "jobs_older_than", lambda *_: 2)
    eraser = cloud.eraser()
    eraser._patience = 0.5
    with pytest.raises(ServiceError, match="2 jobs that are older"):
        eraser.erase(PATIENT)
    eraser.close()


def test_rows_that_were_streamed_a_moment_ago_are_said_to_stay_until_later(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = cloud.client.query

    def refused(text: str, **options: Any) -> Any:
        if "delete from pbm_bronze.raw_orders" in text:
            raise exceptions.BadRequest(
                "UPDATE or DELETE statement over table would affect rows in the streaming buffer"
                f" {PATIENT}"
            )
        return query(text, **options)

    monkeypatch.setattr(cloud.client, "query", refused)
    eraser = cloud.eraser()
    with pytest.raises(ServiceError, match="streamed within the last 90 minutes") as error:
        eraser.erase(PATIENT)
    assert "two hours" in error.value.hint
    assert PATIENT not in f"{error.value.problem} {error.value.hint}"
    # what comes in meanwhile is left out already
    assert cloud.rows("select count(*) from pbm_ops.suppressed_subjects") == [(3,)]
    assert cloud.rows("select count(*) from pbm_gold.dim_patients") == [(2,)]
    monkeypatch.undo()
    eraser.close()


def test_the_job_needs_the_key_of_the_list_once_somebody_is_on_it(cloud: Cloud) -> None:
    no_key = LeaveOutErased(PROJECT, "pbm_ops", None, read_every=0)
    no_key.setup()
    assert no_key._current() is None
    eraser = cloud.eraser()
    eraser.erase(PATIENT)
    eraser.close()
    with pytest.raises(ConfigurationError, match="does not know the key"):
        no_key._current()
    no_key.teardown()


def test_the_key_is_changed_for_rows_that_can_be(cloud: Cloud) -> None:
    cloud.client.query(
        "update pbm_bronze.raw_orders set ingested_at = timestamp_sub(current_timestamp(),"
        " interval 2 hour) where message_id <> 'm4'"
    ).result()
    fresh = Pseudonymiser(NEXT_KEY, 2)
    with BigQueryPseudonymKeys(cloud.warehouse) as keys:
        assert keys.versions().bronze == {1: 4}
        keys.begin(2)
        assert keys.rekey(fresh) == 3
        found = keys.versions()
        assert (found.states, found.bronze) == ({1: "kept", 2: "current"}, {1: 1, 2: 3})
        assert found.strangers == {"pbm_gold.dim_patients": 1, "pbm_silver.stg_order_events": 3}
        assert cloud.rows("select distinct patient_key from pbm_bronze.raw_orders"
                          " where patient_key_version = 2") == [
            (fresh.key_for(PATIENT),)
        ]  # fmt: skip
    # gold still has the old one: erasing needs both keys
    with (
        closing(cloud.eraser(versions=[(NEXT_KEY, 2)])) as eraser,
        pytest.raises(ConfigurationError, match="key version 1, whose key is not known"),
    ):
        eraser.erase(PATIENT)
    with BigQueryPseudonymKeys(cloud.warehouse) as keys:
        cloud.client.query(
            "update pbm_bronze.raw_orders set ingested_at = timestamp_sub(current_timestamp(),"
            " interval 2 hour) where message_id = 'm4'"
        ).result()
        assert (keys.rekey(fresh), keys.rekey(fresh)) == (1, 0)
        build(cloud)
        found = keys.versions()
        assert (found.bronze, found.strangers) == ({2: 4}, {})
        keys.retire(2)
        assert keys.versions().states == {1: "retired", 2: "current"}
    assert not [one for one in cloud.client.list_tables("pbm_ops") if "new" in one.table_id]


def test_bigquery_would_take_every_statement(cloud: Cloud, engine: ZetaSql) -> None:
    with closing(cloud.eraser()) as eraser:
        eraser.erase(PATIENT)
        # a second one asks for orders that have returned, and for what a change of the key left
        computed = {"message_id": "m1", "new_key": Pseudonymiser(KEY, 1).key_for(PATIENT)}
        cloud.warehouse.load("pbm_ops.new_pseudonyms", [computed])
        eraser.erase(PATIENT)
    with BigQueryPseudonymKeys(cloud.warehouse) as keys:
        keys.versions()
        cloud.client.query("update pbm_bronze.raw_orders set ingested_at ="
                           " timestamp_sub(current_timestamp(), interval 2 hour) where true"
                           ).result()  # fmt: skip
        keys.begin(2)
        assert keys.rekey(Pseudonymiser(NEXT_KEY, 2))
        keys.retire(2)
    tables = {
        f"{dataset.dataset_id}.{one.table_id}": Table.of(
            {
                column.name: column.field_type.replace("INTEGER", "INT64")
                for column in cloud.client.get_table(one.reference).schema
            },
            [],
        )
        for dataset in cloud.client.list_datasets()
        for one in cloud.client.list_tables(dataset.dataset_id)
    }
    tables["pbm_ops.new_pseudonyms"] = Table.of({"message_id": "STRING", "new_key": "STRING"}, [])
    kinds = set()
    for text, parameters in cloud.sent:
        types = {name: parameter_type(value) for name, value in parameters.items()}
        for statement in filter(None, (part.strip() for part in text.split(";\n"))):
            # the engine's catalog has no datasets: a table's name is one
            named = re.sub(r"\bpbm_\w+\.\w+", r"`\g<0>`", statement)
            kinds.add(engine.analyze(named.rstrip(";"), tables, types).kind)
    assert kinds == {"query", "insert", "update", "delete", "begin", "commit"}


def parameter_type(value: Any) -> str:
    if isinstance(value, int | str | datetime):
        return {int: "INT64", str: "STRING", datetime: "TIMESTAMP"}[type(value)]
    if value and isinstance(value[0], dict):
        fields = ", ".join(
            f"{name} {'STRING' if one is None else parameter_type(one)}"
            for name, one in value[0].items()
        )
        return f"ARRAY<STRUCT<{fields}>>"
    return "ARRAY<STRING>"


def test_the_commands_choose_bigquery_and_ask_for_the_keys(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PBM_HOME", cloud.platform.env["PBM_HOME"])
    monkeypatch.setenv("PBM_DBT_TARGET", "prod")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", PROJECT)
    for name in ("PBM_PSEUDONYM_KEY", "PBM_SUPPRESSION_KEY", "PBM_POSTGRES_DSN"):
        monkeypatch.delenv(name, raising=False)
    load_settings.cache_clear()
    app, runner = typer.Typer(), CliRunner()
    privacy_commands.register(app)
    try:
        refused = runner.invoke(app, ["erase", "--patient", "-", "--dry-run"], input=PATIENT)
        assert isinstance(refused.exception, ConfigurationError)
        assert refused.exception.problem.endswith(
            "needs PBM_PSEUDONYM_KEY, PBM_SUPPRESSION_KEY, PBM_POSTGRES_DSN."
        )
        load_settings.cache_clear()
        monkeypatch.setenv("PBM_PSEUDONYM_KEY", KEY)
        monkeypatch.setenv("PBM_SUPPRESSION_KEY", "s" * 32)
        monkeypatch.setenv("PBM_POSTGRES_DSN", cloud.platform.dsn)
        done = runner.invoke(app, ["erase", "--patient", "-", "--dry-run", "--json"], input=PATIENT)
        assert json.loads(done.stdout)["rows_by_table"]["pbm_bronze.raw_orders"] == 4
        load_settings.cache_clear()
        shown = runner.invoke(app, ["pseudonyms", "status", "--json"])
        assert json.loads(shown.stdout)["bronze"] == {"1": 4}
    finally:
        load_settings.cache_clear()
