"""Section ingestion: how fast messages reach bronze and the live table, and against what.

All in one run on one machine: Beam's stock direct runner with the same checks on the same
messages, a bare ``COPY`` of the same rows, and ours from a file and from Pub/Sub; then how long a
message takes to be visible, how memory grows with the backlog, and where the time goes.

Google's emulator stands in for Pub/Sub and shares the cores. It gives at most 100 messages to a
pull, and copies its list of waiting messages for each one while any is unacknowledged: what it
takes grows with the square of the backlog.

The aim is 10,000 events a second from Pub/Sub with every check on, and 25 times the stock pipeline.
What keeps a run from it is in the processor times below. The ingester, which is one process of
Python, takes some 100 µs for an event from Pub/Sub: a fifth each to check and pseudonymise it and
to make its text for COPY, a tenth to count it, and the rest to pull and read it, to look for
first copies, and for Beam. The emulator takes the other core to answer pulls. Most of
the start, which a stream pays once, is the import of Beam.
"""

import contextlib
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.report import Measurement, Section
from benchmarks.stack import Bench, bench_stack

EVENTS_PER_ORDER = 7.8  # of the simulator's 30-day window; only sizes the run
COPY = "bare COPY of the same rows"
STOCK = "Beam's stock direct runner, from Pub/Sub"
STOCK_EVENTS = 8_000
STOCK_SECONDS = 60.0
LATENCY_RATE = 200.0
LATENCY_SECONDS = 30


def run(events: int, backlog: int, file_backlog: int) -> None:
    """Measure with about ``events`` events, and memory with more of them waiting.

    Args:
        events: Size of most runs.
        backlog: Messages that wait in Pub/Sub for the larger run; its emulator holds no million.
        file_backlog: Messages that wait in a file for the larger run.
    """
    section = Section("ingestion")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "orders.jsonl"
        with bench_stack() as bench:
            _stock(section, bench)
        with bench_stack() as bench:
            count = _generate(bench, events, str(file))
            name = "generate to a file"
            with section.measure(name, count, "events", note="start-up included"):
                _generate(bench, events, str(file))
            _copy(section, bench, file, count)
            _steps(section, file)
            peak = _ingest(section, bench, str(file), "ingest from a file", count)
        memory = {f"file of {count:,}": peak}
        with bench_stack() as bench:
            count = _generate(bench, file_backlog, str(file))
            name = f"ingest a file of {count:,}"
            memory[f"file of {count:,}"] = _ingest(section, bench, str(file), name, count)
        file.unlink()
        for messages in (events, backlog):
            with bench_stack() as bench:
                count = _generate(bench, messages, "pubsub")
                name = f"ingest a backlog of {count:,} from Pub/Sub"
                memory[f"backlog of {count:,}"] = _ingest(section, bench, "pubsub", name, count)
                _steady(section, bench, name)
        with bench_stack() as bench:
            _latency(section, bench)
    for size, megabytes in memory.items():
        section.facts[f"most memory of the ingester, {size}"] = f"{megabytes:,.0f} MiB"
    section.write()


def _generate(bench: Bench, events: int, to: str, *options: str) -> int:
    orders = str(round(events / EVENTS_PER_ORDER))
    generate = ("generate", "orders", "--orders", orders, "--seed", "1", *options)
    return int(json.loads(bench.pbm(*generate, "--to", to, "--json"))["messages"])


def _stock(section: Section, bench: Bench) -> None:
    _generate(bench, STOCK_EVENTS, "pubsub")
    subscription = f"projects/{bench.env['GOOGLE_CLOUD_PROJECT']}/subscriptions/orders-topic-sub"
    print(f"{section.name}: {STOCK} …", flush=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.stock_beam"),
            *(bench.dsn, subscription, str(STOCK_EVENTS), str(STOCK_SECONDS)),
        ],
        env=bench.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
    )
    result = json.loads(done.stdout)
    note = "acknowledges before the work is done: a kill loses messages"
    one = Measurement(STOCK, result["landed"], "events", result["seconds"], None, note)
    section.measurements.append(one)
    print(f"{section.name}: {STOCK}: {one.rate:,.0f} events/s", flush=True)


def _copy(section: Section, bench: Bench, file: Path, count: int) -> None:
    from ingestion.events import Message, Pseudonymiser, RawOrder
    from ingestion.pipeline import check_chunk
    from ingestion.sinks import copy_line

    messages = [
        Message(f"copy-{number}", line, {}, datetime.now(UTC))
        for number, line in enumerate(file.read_bytes().splitlines())
    ]
    checked = check_chunk(messages, Pseudonymiser("k" * 32, 1))
    columns = ", ".join(RawOrder._fields)
    with psycopg.connect(bench.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("create table bare (like pbm_bronze.raw_orders)")
        cursor.execute("alter table bare alter ingested_at drop not null")
        rows = "".join(map(copy_line, checked.raw_orders))
        with (
            section.measure(COPY, count, "events", baseline=STOCK, note="no index: the limit"),
            cursor.copy(f"copy bare ({columns}) from stdin") as copy,
        ):
            copy.write(rows)


def _ingest(section: Section, bench: Bench, source: str, name: str, count: int) -> float:
    """Ingest everything; return the most memory that it took, in MiB."""
    note = "every check and the live counts on, start-up included"
    peak = [0.0]
    services = _services(bench)
    before = {service: _cpu_seconds(process) for service, process in services.items()}
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    with section.measure(name, count, "events", baseline=STOCK, note=note):
        process = subprocess.Popen(
            [*bench.command, "ingest", "--from", source, "--json"],
            env=bench.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        with _watched(process.pid, peak):
            output, _ = process.communicate()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = {"ingester": ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime}
    busy |= {service: _cpu_seconds(services[service]) - was for service, was in before.items()}
    section.facts[f"{name}: processor time"] = ", ".join(
        f"{service} {seconds:.1f} s" for service, seconds in busy.items()
    )
    summary: dict[str, Any] = json.loads(output)
    if summary["accepted"] != count:
        raise subprocess.SubprocessError(f"accepted {summary['accepted']} of {count} events")
    return peak[0]


def _services(bench: Bench) -> dict[str, psutil.Process]:
    home = Path(bench.env["PBM_HOME"])
    emulator = json.loads((home / "services.json").read_text())["emulator"]["pid"]
    postmaster = (home / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
    return {
        "Pub/Sub emulator": psutil.Process(emulator),
        "PostgreSQL": psutil.Process(int(postmaster)),
    }


def _cpu_seconds(process: psutil.Process) -> float:
    """Processor time of a service, of processes it started, and of those that have ended."""
    total = 0.0
    for one in (process, *process.children()):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    ended = process.cpu_times()
    return total + ended.children_user + ended.children_system


def _steady(section: Section, bench: Bench, name: str) -> None:
    """The rate of the same run without its start and end, by the batches' times of landing."""
    with psycopg.connect(bench.dsn) as connection:
        landings = connection.execute(
            "select extract(epoch from ingested_at)::float, count(*) from pbm_bronze.raw_orders"
            " group by ingested_at order by ingested_at"
        ).fetchall()
        row = connection.execute(
            "select extract(epoch from started_at)::float from pbm_ops.ingest_runs"
            " order by started_at desc limit 1"
        ).fetchone()
    (first, _), (last, _) = landings[0], landings[-1]
    started = row[0] if row else first
    section.facts[f"{name}: from the run's record to its first batch"] = f"{first - started:.1f} s"
    if len(landings) < 3:
        return
    # a batch's time is that of its beginning, so the last batch lies outside
    count = sum(rows for _, rows in landings[:-1])
    note = "the same run from the first batch to the last"
    one = Measurement(f"{name}, steady", count, "events", last - first, STOCK, note)
    section.measurements.append(one)
    print(f"{section.name}: {one.name}: {one.rate:,.0f} events/s", flush=True)


def _steps(section: Section, file: Path) -> None:
    """What the steps of the ingester's own code take for an event, one after the other."""
    from ingestion import live
    from ingestion.events import Message, Pseudonymiser
    from ingestion.live import FirstCopy
    from ingestion.pipeline import check_chunk
    from ingestion.sinks import copy_line

    with file.open("rb") as lines:
        at = datetime.now(UTC)
        messages = [
            Message(f"step-{number}", line, {"event_type": "a", "schema_version": "1"}, at)
            for number, line in enumerate(itertools.islice(lines, 20_000))
        ]
    pseudonymiser = Pseudonymiser("k" * 32, 1)
    rows = check_chunk(messages, pseudonymiser).raw_orders
    copies = [FirstCopy(row.event_type, row.payload, row.publish_time) for row in rows]
    steps: dict[str, Callable[[], object]] = {
        "check and pseudonymise": lambda: check_chunk(messages, pseudonymiser),
        "text for COPY": lambda: "".join(map(copy_line, rows)),
        "live counts": lambda: live.count(copies, []),
    }
    for name, step in steps.items():
        started = time.process_time()
        step()
        each = (time.process_time() - started) / len(messages)
        section.facts[f"processor time of a step, {name}"] = f"{each * 1e6:.1f} µs an event"


@contextmanager
def _watched(pid: int, peak: list[float]) -> Iterator[None]:
    done = threading.Event()

    def watch() -> None:
        process = psutil.Process(pid)
        while not done.wait(0.1):
            try:
                peak[0] = max(peak[0], process.memory_info().rss / 2**20)
            except psutil.NoSuchProcess:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _latency(section: Section, bench: Bench) -> None:
    """Publish at a steady rate and watch the live table."""
    follower = subprocess.Popen(
        [*bench.command, "ingest", "--from", "pubsub", "--follow"],
        env=bench.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        warm_up = _generate(bench, 100, "pubsub")
        visible = _visible(bench, warm_up)
        count = round(LATENCY_RATE * LATENCY_SECONDS)
        print(f"{section.name}: latency at {LATENCY_RATE:.0f} events/s …", flush=True)
        published = _publish_steadily(bench, count)
        seen = _visible(bench, warm_up + count, since=visible)
        delays = sorted(
            _first_at(seen, warm_up + number) - at for number, at in enumerate(published, start=1)
        )
    finally:
        follower.terminate()
        follower.wait()
    for name, share in (("median", 0.5), ("95th percentile", 0.95), ("longest", 1.0)):
        delay = delays[min(len(delays) - 1, int(share * len(delays)))]
        section.facts[f"from publishing to the live table, {name}"] = f"{delay:.2f} s"
        print(f"{section.name}: latency, {name}: {delay:.2f} s", flush=True)


_seen: list[tuple[float, int]] = []


def _publish_steadily(bench: Bench, count: int) -> list[float]:
    """Publish ``count`` events at the rate, and watch the live table meanwhile."""
    import os

    from ingestion.generate_pbm_orders import OrderSimulation
    from ingestion.publisher import OrdersPublisher

    os.environ["PUBSUB_EMULATOR_HOST"] = bench.env["PUBSUB_EMULATOR_HOST"]
    publisher = OrdersPublisher(f"projects/{bench.env['GOOGLE_CLOUD_PROJECT']}/topics/orders-topic")
    messages = [m for batch in OrderSimulation(orders=count, seed=2).batches() for m in batch]
    watching = threading.Event()
    watcher = threading.Thread(target=_watch_live_table, args=(bench, watching))
    watcher.start()
    at: list[float] = []
    started = time.time()
    for first in range(0, count, 20):
        time.sleep(max(0.0, started + first / LATENCY_RATE - time.time()))
        publisher.publish(messages[first : first + 20])
        at += [time.time()] * 20
    time.sleep(10)
    watching.set()
    watcher.join()
    return at


def _watch_live_table(bench: Bench, done: threading.Event) -> None:
    _seen.clear()
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        while not done.wait(0.05):
            _seen.append((time.time(), _live_count(connection)))


def _live_count(connection: psycopg.Connection[Any]) -> int:
    query = "select coalesce(sum(event_count), 0) from pbm_speed.live_order_metrics"
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def _visible(
    bench: Bench, count: int, since: list[tuple[float, int]] | None = None
) -> list[tuple[float, int]]:
    """Wait until ``count`` events are visible; return what was seen, with its time."""
    deadline = time.time() + 60
    with psycopg.connect(bench.dsn, autocommit=True) as connection:
        while _live_count(connection) < count:
            if time.time() > deadline:
                raise TimeoutError(f"{count} events were not visible within a minute")
            time.sleep(0.05)
    return list(_seen) if since is not None else []


def _first_at(seen: list[tuple[float, int]], count: int) -> float:
    return next(at for at, visible in seen if visible >= count)
