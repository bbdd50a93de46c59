"""Erasing a patient and changing the key of the pseudonyms, while events keep coming in."""

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingestion.erasure import Eraser
from ingestion.events import Pseudonymiser
from ingestion.publisher import OrdersPublisher
from ingestion.suppression import SubjectHasher
from pbm import warehouse
from pbm.errors import ConfigurationError
from tests.conftest import PBM, PROJECT_ROOT, Platform, run_pbm

NO_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
LAYERS = ("pbm_bronze", "pbm_speed", "pbm_ops", "pbm_silver", "pbm_gold", "pbm_serving")


def test_a_patient_is_erased_and_the_key_changed_while_events_come_in(  # noqa: PLR0915  one story
    platform: Platform, tmp_path: Path
) -> None:
    # the stack makes its own keys, as a rotation needs
    del platform.env["PBM_PSEUDONYM_KEY"]
    file = tmp_path / "orders.jsonl"
    platform.pbm("generate", "orders", "--orders", "300", "--seed", "5", "--days", "20",
                 "--duplicates", "0.1", "--malformed", "0.05", "--to", str(file))  # fmt: skip
    patient = patient_with_orders(file, at_least=2)
    # two messages that are dead letters: one by its envelope, one that is no JSON at all
    bad = {"event_type": "order_placed", "data": {"patient": {"patient_id": patient["patient_id"]}}}
    broken = b'{"oops": "' + patient["email"].encode() + b" called"
    with file.open("ab") as lines:
        lines.write(json.dumps(bad).encode() + b"\n" + broken + b"\n")
    platform.ingest(file)
    platform.dbt("build", *NO_TESTS)
    orders = orders_of(platform, patient["patient_id"])
    assert len(orders) >= 2
    patient["orders"] = "\n".join(orders)
    assert places_with(platform, patient) >= {
        "pbm_bronze.raw_orders", "pbm_bronze.dead_letter_orders", "pbm_silver.stg_order_events",
        "pbm_silver.cleaned_orders_table", "pbm_gold.fact_order_lifecycle",
        "pbm_gold.fact_order_events", "pbm_gold.dim_patients",
    }  # fmt: skip
    received = platform.value("select count(*) from pbm_bronze.raw_orders")
    panes = live_events(platform)

    with events_coming_in(platform):
        before = patient_id_by_stdin(platform, patient, "--dry-run", "--json")
        erased = patient_id_by_stdin(platform, patient, "--yes", "--json")
        # the source goes on, as if nothing had happened
        publish(platform, [again(line, "late") for line in lines_of(file, patient, orders)])
        rotated = json.loads(platform.pbm("pseudonyms", "rotate", "--json").stdout)
        assert rotated["version"] == 2
        assert rotated["rows"] > 100

    assert before["rows_by_table"] == erased["rows_by_table"]
    gone = erased["rows_by_table"]["pbm_bronze.raw_orders"]
    assert gone > len(orders)
    assert erased["rows_by_table"]["pbm_bronze.dead_letter_orders"] >= 2
    assert erased["texts_searched_and_not_found"] >= 2 + len(orders)
    assert not erased["needs_full_refresh"]
    assert places_with(platform, patient) == set()
    kept = platform.value("select count(*) from pbm_bronze.raw_orders")
    assert kept > received - gone, "other events came in meanwhile"
    assert live_events(platform) == panes - platform.value(
        "select -sum(event_count) from pbm_speed.live_order_metrics where event_count < 0"
    ) + platform.value("select count(distinct event_id) from pbm_bronze.raw_orders where"
                       " message_id not like 'file-%'")  # fmt: skip

    # the same file again, and a build: nothing comes back, and everything still adds up
    platform.ingest(file)
    platform.dbt("build", *NO_TESTS)
    platform.dbt("test", "--select", "test_type:singular")
    assert places_with(platform, patient) == set()
    assert platform.value("select count(*) from pbm_gold.fact_order_lifecycle") == platform.value(
        "select count(distinct order_id) from pbm_bronze.raw_orders"
    )
    assert platform.value(
        "select sum(orders_placed) from pbm_gold.daily_order_summary"
    ) == platform.value(
        "select count(*) from pbm_gold.fact_order_lifecycle where placed_at is not null"
    )
    result = run_pbm("reconcile", env=platform.env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "of erased patients" in result.stdout + result.stderr

    # both key versions work until gold is rebuilt, and then only the new one is left
    assert versions(platform, "pbm_bronze.raw_orders") == {2}
    refused = run_pbm("pseudonyms", "retire", env=platform.env)
    assert refused.returncode == 1
    assert "pbm build --full-refresh" in refused.stderr
    platform.dbt("build", "--full-refresh", *NO_TESTS)
    assert versions(platform, "pbm_gold.dim_patients") == {2}
    platform.pbm("pseudonyms", "retire")
    assert sorted(path.name for path in platform.home.glob("pseudonym*.key")) == ["pseudonym-2.key"]
    assert platform.rows("select version, state from pbm_ops.pseudonym_keys order by 1") == [
        (1, "retired"), (2, "current"),
    ]  # fmt: skip

    # the list outlives the key: a new order of the erased patient is not kept either
    (line, *_) = lines_of(file, patient, orders)
    publish(platform, [again(line, "new", order_id="an order nobody knows")])
    assert platform.ingest("pubsub")["dead_letters"] == {"patient_erased": 1}
    assert places_with(platform, patient) == set()
    assert patient_id_by_stdin(platform, patient, "--yes", "--json")["rows_by_table"] == {}
    log = (platform.home / "logs" / "pbm.log").read_text()
    assert not [text for text in texts_of(patient) if text.lower() in log.lower()]


def test_an_erasure_waits_for_what_had_read_the_patient_before(platform: Platform) -> None:
    ingest_one(platform, "order-1", email="someone@example.com")
    key = Pseudonymiser(platform.env["PBM_PSEUDONYM_KEY"], 1)
    with (
        warehouse.connect(platform.dsn, role=warehouse.TRANSFORMER) as build,
        closing(Eraser(platform.dsn, [key], SubjectHasher("k" * 32), patience=30)) as eraser,
    ):
        # a build has read the patient, and has not committed what it made
        build.execute("create table pbm_silver.made as"
                      " select order_id, patient_key from pbm_bronze.raw_orders")  # fmt: skip
        result = erase_beside(build, eraser, " patient-1\n")
    assert {table: rows for table, rows in result.rows_by_table.items() if rows} == {
        "pbm_bronze.raw_orders": 1,
        "pbm_silver.made": 1,
    }
    assert platform.value("select count(*) from pbm_silver.made") == 0


def test_an_erasure_that_was_ended_is_finished_by_the_next(platform: Platform) -> None:
    ingest_one(platform, "order-1")
    key = Pseudonymiser(platform.env["PBM_PSEUDONYM_KEY"], 1)
    with (
        warehouse.connect(platform.dsn, role=warehouse.TRANSFORMER) as build,
        closing(Eraser(platform.dsn, [key], SubjectHasher("k" * 32), patience=30)) as eraser,
    ):
        build.execute("create table pbm_gold.made as select order_id from pbm_bronze.raw_orders"
                      " union all select 'order-2'")  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(eraser, "_wait_for_older_transactions", ended)
            with pytest.raises(KeyboardInterrupt):
                eraser.erase("patient-1")
        assert platform.value("select count(*) from pbm_bronze.raw_orders") == 0

        # the build has not committed yet, and bronze no longer says whose order it is
        result = erase_beside(build, eraser, "patient-1")
        assert platform.rows("select order_id from pbm_gold.made") == [("order-2",)]
        assert result.rows_by_table["pbm_gold.made"] == 1

        # and where the build had ended before
        build.execute("insert into pbm_gold.made values ('order-1')")
        build.commit()
        assert eraser.count("patient-1")["pbm_gold.made"] == 1
        eraser.erase("patient-1")
    assert platform.rows("select order_id from pbm_gold.made") == [("order-2",)]


def ingest_one(platform: Platform, order_id: str, **patient: str) -> None:
    """Ingest one message, of the patient ``patient-1``."""
    message = {
        "event_id": "e-1", "event_type": "order_placed", "order_id": order_id,
        "event_timestamp": "2026-01-05T00:00:00Z",
        "data": {"patient": {"patient_id": "patient-1", **patient}},
    }  # fmt: skip
    file = platform.home / "one.jsonl"
    file.write_text(json.dumps(message) + "\n")
    platform.ingest(file)


def erase_beside(build: psycopg.Connection[Any], eraser: Eraser, patient_id: str) -> Any:
    """Erase a patient beside an open transaction, which the erasure must wait for."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(eraser.erase(patient_id)))
    thread.start()
    time.sleep(1)
    assert thread.is_alive(), "it must wait for the build"
    build.commit()
    thread.join(30)
    (result,) = results
    return result


def ended() -> None:
    raise KeyboardInterrupt


def test_an_erasure_needs_every_key_and_forgets_what_others_remember(platform: Platform) -> None:
    ingest_one(platform, 'ördér "1"')
    hasher = SubjectHasher("k" * 32)
    with warehouse.connect(platform.dsn, role=warehouse.TRANSFORMER) as build:
        # another's event, an earlier copy of which had named the order
        build.execute("create table pbm_silver.made as select 'order-2' as order_id,"
                      " '[' || to_json(order_id)::text || ']' as other_order_ids"
                      " from pbm_bronze.raw_orders")  # fmt: skip
    with closing(Eraser(platform.dsn, [Pseudonymiser("n" * 32, 2)], hasher)) as eraser:
        with pytest.raises(ConfigurationError, match="key version 1, whose key is not known"):
            eraser.count("patient-1")
        with pytest.raises(ConfigurationError):
            eraser.erase("patient-1")
    assert platform.value("select count(*) from pbm_bronze.raw_orders") == 1
    key = Pseudonymiser(platform.env["PBM_PSEUDONYM_KEY"], 1)
    with closing(Eraser(platform.dsn, [key, Pseudonymiser("n" * 32, 2)], hasher)) as eraser:
        eraser.erase("patient-1")
    assert platform.rows("select * from pbm_silver.made") == [("order-2", None)]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (["--patient", "PT-1", "--yes"], "", 2, "what stands on a command line is kept by shells"),
        (["--yes"], "", 2, "The patient id is missing"),
        (["--patient", "-"], "PT-1\n", 2, "Give --yes"),
        (["--patient", "-", "--yes"], "\n", 2, "empty"),
        (["--patient", "-", "--yes"], "nobody-knows\n", 3, "No layer has anything"),
    ],
)
def test_a_patient_id_is_asked_for_and_never_shown(
    platform: Platform, arguments: list[str], stdin: str, code: int, words: str
) -> None:
    done = subprocess.run([PBM, "erase", *arguments], env=platform.env, input=stdin,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert "PT-1" not in done.stdout + done.stderr
    assert "nobody-knows" not in done.stdout + done.stderr


# ------------------------------------------------------------------------------------- helpers


def patient_with_orders(file: Path, at_least: int) -> dict[str, str]:
    """The patient of a file with the most orders, as the first placement describes them."""
    found: dict[str, dict[str, Any]] = {}
    orders: dict[str, set[str]] = {}
    for line in file.read_bytes().splitlines():
        try:
            event = json.loads(line)
            patient = event["data"]["patient"]
            orders.setdefault(patient["patient_id"], set()).add(event["order_id"])
            found.setdefault(patient["patient_id"], patient)
        except (ValueError, KeyError, TypeError):
            continue
    best = max(found, key=lambda one: len(orders[one]))
    assert len(orders[best]) >= at_least
    return found[best]


def texts_of(patient: dict[str, str]) -> list[str]:
    name = f"{patient['first_name']} {patient['last_name']}"
    return [patient["patient_id"], patient["email"], patient["phone"], patient["address"], name]


def orders_of(platform: Platform, patient_id: str) -> list[str]:
    rows = platform.rows("select distinct order_id from pbm_bronze.raw_orders"
                         " where strpos(payload, %s) > 0", patient_id)  # fmt: skip
    return [row[0] for row in rows]


def places_with(platform: Platform, patient: dict[str, str]) -> set[str]:
    """The tables in which anything of the patient stands: as text, or in a dead letter's bytes."""
    keys = [
        Pseudonymiser((platform.home / name).read_text(), 1).key_for(patient["patient_id"])
        for name in ("pseudonym.key", "pseudonym-2.key")
        if (platform.home / name).exists()
    ]
    orders = patient["orders"].split("\n")
    texts = [text.lower() for text in (*texts_of(patient), *keys, *orders)]
    found = set()
    for schema in LAYERS:
        for (table,) in platform.rows("select table_name from information_schema.tables where"
                                      " table_schema = %s and table_type = 'BASE TABLE'",
                                      schema):  # fmt: skip
            rows = platform.rows(f"select lower(t::text) from {schema}.{table} as t")
            if any(text in row for (row,) in rows for text in texts):
                found.add(f"{schema}.{table}")
    for (payload,) in platform.rows("select payload_base64 from pbm_bronze.dead_letter_orders"):
        content = base64.b64decode(payload).decode("utf-8", "replace").lower()
        if any(text in content for text in texts[:2]):
            found.add("pbm_bronze.dead_letter_orders")
    return found


def live_events(platform: Platform) -> int:
    return int(platform.value("select sum(event_count) from pbm_speed.live_order_metrics"))


def versions(platform: Platform, table: str) -> set[int]:
    query = f"select distinct patient_key_version from {table} where patient_key is not null"
    return {row[0] for row in platform.rows(query)}


def lines_of(file: Path, patient: dict[str, str], orders: list[str]) -> list[bytes]:
    wanted = [text.encode() for text in (patient["patient_id"], *orders)]
    return [line for line in file.read_bytes().splitlines() if any(one in line for one in wanted)]


def again(line: bytes, suffix: str, **changed: str) -> bytes:
    try:
        event = json.loads(line)
    except ValueError:
        return line
    if not isinstance(event, dict):
        return line
    event |= changed
    return json.dumps({**event, "event_id": f"{event.get('event_id')}-{suffix}"}).encode()


def publish(platform: Platform, messages: list[bytes]) -> None:
    host = platform.env["PUBSUB_EMULATOR_HOST"]
    project = platform.env["GOOGLE_CLOUD_PROJECT"]
    os.environ["PUBSUB_EMULATOR_HOST"] = host
    try:
        publisher = OrdersPublisher(f"projects/{project}/topics/orders-topic")
        publisher.publish([(message, {}) for message in messages])
    finally:
        del os.environ["PUBSUB_EMULATOR_HOST"]


def patient_id_by_stdin(platform: Platform, patient: dict[str, str], *options: str) -> Any:
    done = subprocess.run([PBM, "erase", "--patient", "-", *options], env=platform.env,
                          input=patient["patient_id"] + "\n", capture_output=True, text=True,
                          check=False, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert patient["patient_id"] not in done.stdout + done.stderr
    return json.loads(done.stdout)


@contextmanager
def events_coming_in(platform: Platform) -> Iterator[None]:
    """An ingester that follows the stream, and a source that sends; drained at the end."""
    platform.pbm("up")
    follower = subprocess.Popen([PBM, "ingest", "--follow"], env=platform.env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                cwd=PROJECT_ROOT)  # fmt: skip
    source = subprocess.Popen([PBM, "generate", "orders", "--orders", "200", "--seed", "6",
                               "--rate", "150", "--to", "pubsub"], env=platform.env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              cwd=PROJECT_ROOT)  # fmt: skip
    try:
        deadline = time.monotonic() + 180
        query = "select count(*) from pbm_bronze.raw_orders where message_id not like 'file-%'"
        while platform.value(query) == 0:
            assert time.monotonic() < deadline, "nothing comes in"
            time.sleep(0.2)
        yield
        assert source.wait(180) == 0
    finally:
        source.kill()
        source.wait()
        follower.terminate()
        _, errors = follower.communicate(timeout=180)
    assert follower.returncode == 0, errors
    platform.ingest("pubsub")
    # what was in flight under the old key when it changed
    platform.pbm("pseudonyms", "rekey")
