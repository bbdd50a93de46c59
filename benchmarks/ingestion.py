"""Section ingestion: how fast messages reach bronze, against a bare COPY of the same rows."""

import json
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.report import Section
from benchmarks.stack import Bench, bench_stack

EVENTS_PER_ORDER = 7.8  # of the simulator's 30-day window; only sizes the run


def run(events: int) -> None:
    """Generate about ``events`` events and take them in, from a file and from Pub/Sub."""
    section = Section("ingestion")
    with bench_stack() as bench, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "orders.jsonl"
        orders = str(round(events / EVENTS_PER_ORDER))
        generate = ("generate", "orders", "--orders", orders, "--seed", "1")
        count = int(json.loads(bench.pbm(*generate, "--to", str(file), "--json"))["messages"])
        with section.measure("generate to a file", count, "events", note="start-up included"):
            bench.pbm(*generate, "--to", str(file))
        _copy(section, bench, file, count)
        _ingest(section, bench, str(file), "ingest from a file", count)
        bench.pbm(*generate, "--to", "pubsub")
        _ingest(section, bench, "pubsub", "ingest from Pub/Sub", count)
    section.write()


def _copy(section: Section, bench: Bench, file: Path, count: int) -> None:
    from ingestion.events import Message, Pseudonymiser, RawOrder
    from ingestion.pipeline import check_chunk
    from ingestion.sinks import copy_line

    messages = [
        Message(f"copy-{number}", line, {}, datetime.now(UTC))
        for number, line in enumerate(file.read_bytes().splitlines())
    ]
    checked = check_chunk(messages, Pseudonymiser("k" * 32, 1))
    with psycopg.connect(bench.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("create table bare (like pbm_bronze.raw_orders)")
        cursor.execute("alter table bare alter ingested_at drop not null")
        rows = "".join(map(copy_line, checked.raw_orders))
        with (
            section.measure("bare COPY of the same rows", count, "events", note="the limit"),
            cursor.copy(f"copy bare ({', '.join(RawOrder._fields)}) from stdin") as copy,
        ):
            copy.write(rows)


def _ingest(section: Section, bench: Bench, source: str, name: str, count: int) -> None:
    note = "every check on, start-up included"
    with section.measure(name, count, "events", baseline="bare COPY of the same rows", note=note):
        summary: dict[str, Any] = json.loads(bench.pbm("ingest", "--from", source, "--json"))
    if summary["accepted"] != count:
        raise subprocess.SubprocessError(f"accepted {summary['accepted']} of {count} events")
