"""The baseline: the same work as Beam's documentation would have it, on its stock direct runner.

`python -m benchmarks.stock_beam DSN SUBSCRIPTION COUNT SECONDS` reads with ``ReadFromPubSub``,
makes the same checks, and inserts what a bundle holds in one statement, until COUNT rows are there
or SECONDS are over. It prints how many rows it landed and how long that took, as JSON. The direct
runner acknowledges before it has done the work, so that a kill loses messages.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import psycopg
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import window

from ingestion.events import Message, Pseudonymiser, RawOrder, check_message

COLUMNS = ", ".join(RawOrder._fields)
VALUES = ", ".join(["%s"] * len(RawOrder._fields))
INSERT = f"insert into pbm_bronze.raw_orders ({COLUMNS}) values ({VALUES}) on conflict do nothing"  # noqa: S608


class Check(beam.DoFn):
    """One message to one row."""

    def setup(self) -> None:
        """Make the pseudonymiser."""
        self._pseudonymiser = Pseudonymiser("a key for the benchmark, of 32 bytes or more", 1)

    def process(self, element: Any) -> Iterator[RawOrder]:  # noqa: ANN401  Beam has no types
        """Check it as ours does."""
        message = Message(
            element.message_id, element.data, dict(element.attributes), element.publish_time
        )
        row = check_message(message, self._pseudonymiser)
        if isinstance(row, RawOrder):
            yield row


class Insert(beam.DoFn):
    """Rows to PostgreSQL, one statement a bundle."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def setup(self) -> None:
        """Connect."""
        self._connection = psycopg.connect(self._dsn)

    def start_bundle(self) -> None:
        """Begin with no rows."""
        self._rows: list[list[object]] = []

    def process(self, element: RawOrder) -> Iterator[Any]:
        """Keep the row, and count it."""
        row: list[object] = list(element)
        row[RawOrder._fields.index("attributes")] = json.dumps(dict(element.attributes))
        self._rows.append(row)
        yield element.event_type, 1

    def finish_bundle(self) -> None:
        """Insert the bundle's rows."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(INSERT, self._rows)


def main(dsn: str, subscription: str, count: int, seconds: float) -> None:
    """Run until everything is landed or the time is over."""
    options = PipelineOptions(["--runner=BundleBasedDirectRunner", "--streaming"])
    pipeline = beam.Pipeline(options=options)
    _ = (
        pipeline
        | beam.io.ReadFromPubSub(subscription=subscription, with_attributes=True)
        | beam.ParDo(Check())
        | beam.ParDo(Insert(dsn))
        | beam.WindowInto(window.FixedWindows(60), allowed_lateness=3600)
        | beam.CombinePerKey(sum)
    )
    started = time.perf_counter()
    pipeline.run()
    landed = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while landed < count and time.perf_counter() - started < seconds:
            time.sleep(0.1)
            row = connection.execute("select count(*) from pbm_bronze.raw_orders").fetchone()
            landed = row[0] if row else 0
    result = {"landed": landed, "seconds": time.perf_counter() - started}
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    os._exit(0)  # the direct runner cannot be cancelled


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
