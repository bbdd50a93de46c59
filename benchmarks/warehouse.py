"""Section warehouse: what a build costs, against hand-written SQL for the same gold.

A year of orders is loaded into bronze as it would have come in, but for its last days. Then, on one
server: dbt builds everything; hand-written SQL computes the same gold from the same bronze, and its
result is compared with dbt's; then the last days come in, and dbt builds what they changed. All of
it for two sizes, to see what grows with what. The tests of the full build look at everything, those
of an increment at what changed.

The aims are 1.5 times the hand-written SQL for a full build, and 5 % of a full build for an
increment of 1 %. What keeps a full build from it: reading JSON by the contract's rules, where
nothing may fail and every flaw is flagged, takes about twice the processor time of PostgreSQL's
`jsonb`; the indexes that increments need are built; and orders are put together by one process,
whose aggregates are ordered. Of an increment, 6 s are dbt itself, which takes about 0.2 s for a
model and 50 ms for a test, whatever there is to do.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks import bronze
from benchmarks.report import Section
from benchmarks.stack import Bench, bench_stack
from pbm.running import program

HAND_WRITTEN = Path(__file__).with_name("hand_written.sql")
# The last days of the year come in after the first build: a part in a thousand, then one in a
# hundred.
_PARTS = (0.001, 0.01)
_TESTS = ("test", "--exclude-resource-type", "unit_test")
_LOOK_UPS = 20
# The very last come in after the last build: they are live.
_LIVE = 2_000


def run(orders: int, smaller: int, then: Callable[[Bench], None] | None = None) -> None:
    """Measure with a year of ``orders``, and with one of ``smaller`` to see how it grows.

    Args:
        orders: Orders of the larger year.
        smaller: Orders of the smaller one.
        then: Called with the larger warehouse, to measure what else it serves.
    """
    section = Section("warehouse")
    for count in dict.fromkeys((smaller, orders)):
        with bench_stack() as bench:
            _one_size(section, bench, count)
            section.write()
            if then is not None and count == orders:
                then(bench)


def _one_size(section: Section, bench: Bench, orders: int) -> None:
    size = f"{orders:,} orders"
    print(f"{section.name}: {size}: loading bronze …", flush=True)
    end = datetime.combine(bronze.FIRST_DAY, datetime.min.time(), UTC) + timedelta(bronze.DAYS)
    cuts = [end - timedelta(bronze.DAYS * part) for part in (sum(_PARTS), _PARTS[1])]
    lines = bronze.year_of_lines(orders)
    kept: list[bronze.Line] = []
    with psycopg.connect(bench.dsn) as connection:
        rows = bronze.load(connection, _until(cuts[0], lines, kept))
    kept += lines  # to the end, so that its processes are gone before anything is measured
    live = [kept.pop() for _ in range(min(_LIVE, len(kept) // 2))][::-1]
    _maintain(bench)
    build = f"full build of {size}"
    dbt = _Dbt(bench)
    dbt.run("seed")
    hand_written = f"hand-written SQL, {size}"
    models = dbt.run("run", "--vars", "{serving_watermark_moves: true}")
    # the watermark has moved already: what changed since is nothing
    tests = dbt.run(*_TESTS, "--vars", "{test_everything: true}")
    _maintain(bench)
    section.add(hand_written, rows, "messages", _by_hand(bench), note=_agreement(bench))
    section.add(
        f"{build}: models", rows, "messages", models.seconds, baseline=hand_written,
        note="every model, not only what the hand-written SQL computes",
    )  # fmt: skip
    section.add(f"{build}: tests", rows, "messages", tests.seconds)
    same = "what the hand-written SQL computes"
    section.add(
        f"{build}: {same}", rows, "messages", models.of(*_SAME), baseline=hand_written,
        note="time of those models, one after the other",
    )  # fmt: skip
    _increments(section, dbt, size, rows, kept, cuts[1], (models, tests))
    with psycopg.connect(bench.dsn) as connection:
        bronze.load(connection, live)
    _maintain(bench)
    _look_ups(section, bench, size)


_SAME = (
    "stg_order_events",
    "cleaned_orders_table",
    "fact_order_lifecycle",
    "fact_order_events",
    "dim_patients",
    "daily_order_summary",
    "fulfillment_stage_daily",
    "carrier_performance_daily",
    "ingestion_reconciliation",
)


def _increments(
    section: Section,
    dbt: "_Dbt",
    size: str,
    rows: int,
    kept: list[bronze.Line],
    cut: datetime,
    full: tuple["_Run", "_Run"],
) -> None:
    """Build what is new, a little and then more, and test what it changed."""
    parts = (
        [line for line in kept if line.ingested_at <= cut],
        [line for line in kept if line.ingested_at > cut],
    )
    for part in parts:
        with psycopg.connect(dbt.bench.dsn) as connection:
            count = bronze.load(connection, part)
        name = f"build of {count:,} new messages ({count / rows:.1%}) in {size}"
        models = dbt.run("run")
        tests = dbt.run(*_TESTS)
        dbt.run("run", "--select", "serving_watermark", "--vars", "{serving_watermark_moves: true}")
        section.add(
            f"{name}: models", count, "messages", models.seconds,
            note=f"{models.seconds / full[0].seconds:.1%} of the full build's",
        )  # fmt: skip
        section.add(
            f"{name}: tests", count, "messages", tests.seconds,
            note=f"{tests.seconds / full[1].seconds:.1%} of the full build's",
        )  # fmt: skip
    nothing = dbt.run("run"), dbt.run(*_TESTS)
    for what, one in zip(("models", "tests"), nothing, strict=True):
        section.facts[f"build with nothing new in {size}, {what}"] = f"{one.seconds:.1f} s"


def _until(
    cut: datetime, lines: Iterator[bronze.Line], kept: list[bronze.Line]
) -> Iterator[bronze.Line]:
    for line in lines:
        if line.ingested_at > cut:
            kept.append(line)
            return
        yield line


def _maintain(bench: Bench) -> None:
    """What autovacuum does within minutes, and a measurement should not wait for."""
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")


class _Run:
    """How long a run of dbt took, without starting it, and each of its nodes."""

    def __init__(self, path: Path) -> None:
        results = json.loads(path.read_text())["results"]
        moments = [
            datetime.fromisoformat(timing[end])
            for result in results
            for timing in result["timing"]
            for end in ("started_at", "completed_at")
        ]
        self.seconds = (max(moments) - min(moments)).total_seconds()
        self._nodes = {
            result["unique_id"].rsplit(".", 1)[-1]: float(result["execution_time"])
            for result in results
        }

    def of(self, *models: str) -> float:
        """Seconds of some models together."""
        return sum(self._nodes[model] for model in models)


class _Dbt:
    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._folder = tempfile.TemporaryDirectory()

    def run(self, *arguments: str) -> _Run:
        folder = self._folder.name
        print(f"warehouse: dbt {' '.join(arguments)} …", flush=True)
        subprocess.run(
            [program("dbt"), "--quiet", *arguments],
            env={**self.bench.env, "DBT_TARGET_PATH": folder, "DBT_LOG_PATH": folder},
            stdout=sys.stderr,
            check=True,
        )
        return _Run(Path(folder) / "run_results.json")


def _by_hand(bench: Bench) -> float:
    """Run the hand-written SQL; return its seconds."""
    print("warehouse: hand-written SQL …", flush=True)
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        started = time.perf_counter()
        connection.execute(HAND_WRITTEN.read_bytes())
        return time.perf_counter() - started


_COMPARED = {
    "orders": ("by_hand.orders", "pbm_gold.fact_order_lifecycle"),
    "patients": ("by_hand.patients", "pbm_gold.dim_patients"),
    "days": ("by_hand.days", "pbm_gold.daily_order_summary"),
    "events": ("by_hand.events", "pbm_gold.fact_order_events"),
    "days of stages": ("by_hand.stages", "pbm_gold.fulfillment_stage_daily"),
    "days of carriers": ("by_hand.carriers", "pbm_gold.carrier_performance_daily"),
    "hours": ("by_hand.hours", "pbm_gold.ingestion_reconciliation"),
}


_DIFFERENCE = sql.SQL("""
select
    (select count(*) from {ours}),
    (select count(*) from {theirs}),
    (
        select count(*)
        from (select {columns} from {ours} except all select {columns} from {theirs}) as differing
    )
""")


def _agreement(bench: Bench) -> str:
    """Compare the columns that both have, row by row, and say so.

    Percentiles are left out: PostgreSQL's own are binary fractions.

    Raises:
        ValueError: A row differs.
    """
    said = []
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        for name, (ours, theirs) in _COMPARED.items():
            columns = sql.SQL(", ").join(map(sql.Identifier, _columns(connection, ours)))
            query = _DIFFERENCE.format(
                columns=columns,
                ours=sql.Identifier(*ours.split(".")),
                theirs=sql.Identifier(*theirs.split(".")),
            )
            row = connection.execute(query).fetchone()
            if row is None or row[0] != row[1] or row[2]:
                raise ValueError(f"{ours} differs from {theirs}: {row}")
            said.append(f"{row[0]:,} {name}")
        connection.execute("drop schema by_hand cascade")
    return f"gives the same {', '.join(said)}, compared row by row"


def _columns(connection: psycopg.Connection, table: str) -> list[str]:
    schema, _, name = table.partition(".")
    rows = connection.execute(
        "select column_name from information_schema.columns"
        " where table_schema = %s and table_name = %s and data_type <> 'double precision'"
        " order by ordinal_position",
        (schema, name),
    ).fetchall()
    return [str(row[0]) for row in rows]


def _look_ups(section: Section, bench: Bench, size: str) -> None:
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        found = connection.execute(
            "select order_id from pbm_gold.fact_order_lifecycle order by md5(order_id) limit %s",
            (_LOOK_UPS,),
        ).fetchall()
        delays = []
        for row in found:
            started = time.perf_counter()
            connection.execute(
                "select * from pbm_serving.order_status_now where order_id = %s", row
            )
            delays.append(time.perf_counter() - started)
        started = time.perf_counter()
        connection.execute(
            "select current_status, count(*) from pbm_serving.order_status_now group by 1"
        )
        totals = time.perf_counter() - started
    middle = sorted(delays)[len(delays) // 2]
    section.facts[f"order_status_now of {size}, one order, median"] = f"{middle * 1000:.0f} ms"
    section.facts[f"order_status_now of {size}, orders by status"] = f"{totals * 1000:.0f} ms"
