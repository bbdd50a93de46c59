"""An emulator of BigQuery's REST interface, with the tables that ingestion writes."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ingestion import bigquery as sinks
from ingestion import contract
from ingestion.events import DeadLetter, RawOrder
from ingestion.live import Pane
from pbm.processes import free_port
from tests.conftest import PROJECT_ROOT, clean_environment


@contextmanager
def emulator(folder: Path, project: str) -> Iterator[str]:
    """Run the emulator; yields its address.

    Args:
        folder: For its log.
        project: The Google Cloud project that it holds.
    """
    port, grpc_port = free_port(), free_port()
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, str(PROJECT_ROOT / "tests" / "bqemulator_start.py"), "start"),
                *("--rest-port", str(port), "--grpc-port", str(grpc_port), "--project", project),
            ],
            env=clean_environment(),
            stdout=log,
            stderr=log,
            cwd=folder,
        )
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def create_tables(client: Any) -> None:
    """Create what ingestion and erasure write, through a client of BigQuery."""
    from google.cloud import bigquery

    of_erasure = {
        name: about
        for name, about in json.loads(contract.bigquery_tables()).items()
        if name.startswith("pbm_ops.")
    }
    for table, schema in (
        *((name, {"fields": about["schema"]}) for name, about in of_erasure.items()),
        ("pbm_bronze.raw_orders", sinks.schema_of(RawOrder, written_at="ingested_at")),
        ("pbm_bronze.dead_letter_orders", _dead_letters()),
        ("pbm_speed.live_order_metrics", sinks.schema_of(Pane, written_at="emitted_at")),
    ):
        client.create_dataset(table.split(".")[0], exists_ok=True)
        fields = [bigquery.SchemaField.from_api_repr(field) for field in schema["fields"]]
        client.create_table(bigquery.Table(f"{client.project}.{table}", schema=fields))


def _dead_letters() -> dict[str, list[dict[str, str]]]:
    schema = sinks.schema_of(DeadLetter, written_at="failed_at")
    schema["fields"] += [
        {"name": "replay_count", "type": "INTEGER", "mode": "NULLABLE"},
        {"name": "replayed_at", "type": "TIMESTAMP", "mode": "NULLABLE"},
    ]
    return schema


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the emulator did not start")
