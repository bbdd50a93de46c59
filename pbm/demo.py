"""`pbm demo`: the whole platform at work, in one command.

Every step is the command that a person would type, run in a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table

from pbm import console, warehouse
from pbm.errors import CheckFailedError, InputError
from pbm.running import dbt_command, program, running_stack
from pbm.settings import Settings
from pbm.stack import Stack

DAYS = 14


@dataclass
class _Step:
    name: str
    result: str = ""
    seconds: float = 0.0


class _Demo:
    """The steps, and how long each took."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.steps: list[_Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[_Step]:
        step = _Step(name)
        started = time.monotonic()
        if sys.stderr.isatty():
            with console.err.status(f"{name} …"):
                yield step
        else:
            console.say(f"[dim]… {name}[/]")
            yield step
        step.seconds = time.monotonic() - started
        self.steps.append(step)
        console.say(f"[green]✓[/] {name}: {step.result} [dim]({step.seconds:.1f} s)[/]")

    def pbm(self, *arguments: str) -> Any:  # noqa: ANN401  whatever JSON the command prints
        """Run `pbm … --json` and return what it prints; its errors go to the terminal."""
        done = subprocess.run(
            [program("pbm"), *arguments, "--json"],
            env={**os.environ, **self.stack.environment()},
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode != 0:
            words = " ".join(arguments[:2])
            raise CheckFailedError(f"`pbm {words}` failed.", "See its message above.")
        return json.loads(done.stdout)


def run_demo(settings: Settings, *, orders: int, seed: int | None, picture: Path | None) -> None:
    """Generate, publish, ingest, model and report; print a table of each.

    Args:
        settings: Where the stack is.
        orders: How many orders to generate, placed over the last 14 days.
        seed: Seed of the orders; the current second if None, so that each run adds new ones.
        picture: Where to save what is printed, as SVG.

    Raises:
        PbmError: A step failed.
    """
    seed = int(time.time()) if seed is None else seed
    start = datetime.now(UTC).date() - timedelta(days=DAYS)
    console.say(f"[bold]PBM Logistics 360[/]: {orders:,} orders of the last {DAYS} days\n")
    started = time.monotonic()
    with running_stack(settings) as stack:
        demo = _Demo(stack)
        generated, ingested = _events_in(demo, orders, seed, start)
        with demo.step("model") as step:
            step.result = _build(stack)
        # patients answer about orders that gold knows as delivered
        with demo.step("ask patients") as step:
            surveys = demo.pbm("generate", "surveys", "--seed", str(seed))
            step.result = f"{surveys['inserted']:,} survey answers in PostgreSQL"
        with demo.step("model what they answered") as step:
            step.result = _build(stack, "--select", "tag:survey")
        report = _report(stack, demo, generated, ingested, time.monotonic() - started)
    console.out.print(report)
    if picture is not None:
        _save(report, picture)


def _events_in(
    demo: _Demo, orders: int, seed: int, start: date
) -> tuple[dict[str, Any], dict[str, Any]]:
    knobs = ("--duplicates", "0.02", "--late", "0.01", "--malformed", "0.005", "--shuffle")
    period = ("--start", start.isoformat(), "--days", str(DAYS))
    what = ("generate", "orders", "--orders", str(orders), "--seed", str(seed), *period, *knobs)
    if demo.stack.pubsub_emulator_host() is not None:
        with demo.step("generate and publish") as step:
            generated = demo.pbm(*what, "--to", "pubsub")
            step.result = f"{generated['messages']:,} messages on orders-topic"
        with demo.step("ingest") as step:
            ingested = demo.pbm("ingest", "--from", "pubsub", "--drain")
            step.result = f"{ingested['accepted']:,} rows of bronze"
    else:
        console.say(
            "[yellow]No Pub/Sub emulator is installed (Google Cloud CLI and Java): the same events "
            "go through a file, which is also the way of backfills.[/]"
        )
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "orders.jsonl")
            with demo.step("generate") as step:
                generated = demo.pbm(*what, "--to", file)
                step.result = f"{generated['messages']:,} messages in a file"
            with demo.step("ingest") as step:
                ingested = demo.pbm("ingest", "--from", file)
                step.result = f"{ingested['accepted']:,} rows of bronze"
    return generated, ingested


def _build(stack: Stack, *selected: str) -> str:
    # unit tests try the SQL on rows of their own: a developer's check, not a build's
    build = ["build", "--exclude-resource-type", "unit_test", *selected]
    command, environment = dbt_command(stack, build)
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [*command, "--no-use-colors"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output.seek(0)
        lines = output.read().splitlines()
    if done.returncode != 0:
        console.err.print("\n".join(lines[-40:]), markup=False)
        raise CheckFailedError(
            "`dbt build` failed.", "Its last lines are above; run `pbm up` and `pbm build` for all."
        )
    counts = next((line for line in reversed(lines) if "PASS=" in line), "")
    passed = counts.partition("PASS=")[2].split(" ")[0]
    return f"{passed} models, seeds and tests passed"


def _report(
    stack: Stack,
    demo: _Demo,
    generated: dict[str, Any],
    ingested: dict[str, Any],
    seconds: float,
) -> Group:
    with warehouse.connect(stack.require_postgres_dsn(), role=warehouse.REPORTER) as connection:
        statuses = connection.execute(
            "select current_status, count(*), count(*) filter (where needed_intervention)"
            " from pbm_gold.fact_order_lifecycle group by 1 order by 2 desc, 1"
        ).fetchall()
        days = connection.execute(
            "select order_date, orders_placed, orders_shipped, orders_delivered, orders_open,"
            " p50_hours_placed_to_delivered, on_time_rate"
            " from pbm_gold.daily_order_summary order by order_date desc limit 7"
        ).fetchall()
        satisfaction = connection.execute(
            "select case when dimension = 'all' then 'all' else dimension_value end,"
            " response_count, net_promoter_score, satisfied_rate"
            " from pbm_gold.patient_satisfaction_daily"
            " where dimension in ('all', 'lateness') and window_days = 90 and response_date ="
            " (select max(response_date) from pbm_gold.patient_satisfaction_daily)"
            " order by dimension, 1"
        ).fetchall()
    parts: list[Table | Panel] = [
        _events_table(generated, ingested),
        _statuses_table(statuses),
        _days_table(days),
        _satisfaction_table(satisfaction),
        _steps_table(demo.steps, seconds),
        Panel(
            "pbm up                         start the stack and leave it running\n"
            'eval "$(pbm env)"              point psql, dbt and your own tools at it\n'
            'psql "$PBM_POSTGRES_DSN" -c "select * from pbm_gold.daily_order_summary"\n'
            "dbt build                      build silver and gold after more events\n"
            "pbm --help                     everything else",
            title="What next (in a shell with .venv/bin on the PATH)",
            title_align="left",
        ),
    ]
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _events_table(generated: dict[str, Any], ingested: dict[str, Any]) -> Table:
    table = _table("Events in", "", "messages")
    table.add_row("generated", f"{generated['messages']:,}")
    table.add_row("read by ingestion", f"{ingested['read']:,}")
    table.add_row("accepted into bronze", f"[green]{ingested['accepted']:,}[/]")
    if ingested["already_there"]:
        table.add_row("already there", f"{ingested['already_there']:,}")
    for reason, count in ingested["dead_letters"].items():
        table.add_row(f"dead letter: {reason}", f"[yellow]{count:,}[/]")
    return table


def _statuses_table(rows: list[tuple[Any, ...]]) -> Table:
    table = _table("Orders by status", "current_status", "orders", "needed intervention")
    for status, orders, interventions in rows:
        table.add_row(status, f"{orders:,}", f"{interventions:,}")
    return table


def _days_table(rows: list[tuple[Any, ...]]) -> Table:
    table = _table(
        "Last days of daily_order_summary",
        "order_date",
        "placed",
        "shipped",
        "delivered",
        "open",
        "p50 hours to delivery",
        "on time",
    )
    for day, placed, shipped, delivered, still_open, hours, rate in rows:
        table.add_row(
            str(day),
            f"{placed:,}",
            f"{shipped:,}",
            f"{delivered:,}",
            f"{still_open:,}",
            "" if hours is None else f"{hours:.1f}",
            "" if rate is None else f"{rate:.1%}",
        )
    return table


def _satisfaction_table(rows: list[tuple[Any, ...]]) -> Table:
    table = _table("What patients answered", "orders", "answers", "NPS", "satisfied")
    for value, answers, score, satisfied in rows:
        if score is None:
            table.add_row(value, "hidden: fewer than 11", "", "")
        else:
            rate = "" if satisfied is None else f"{satisfied:.0%}"
            count = "" if answers is None else f"{answers:,}"
            table.add_row(value, count, f"{score:.0f}", rate)
    return table


def _steps_table(steps: list[_Step], seconds: float) -> Table:
    table = _table("How long it took", "step", "seconds")
    for step in steps:
        table.add_row(step.name, f"{step.seconds:.1f}")
    table.add_row("all, with starting the stack", f"{seconds:.1f}")
    return table


def _save(report: Group, picture: Path) -> None:
    recorder = Console(record=True, width=96, file=tempfile.TemporaryFile("w"))  # noqa: SIM115
    recorder.print(report)
    svg = recorder.export_svg(title="make demo", code_format=_svg_without_remote_fonts())
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(svg)
    except OSError as error:
        raise InputError(
            f"The picture {picture} cannot be written: {error.strerror}.", "Name another file."
        ) from error


def _svg_without_remote_fonts() -> str:
    """Rich's picture, with the reader's own monospace font rather than one from the network."""
    from rich._export_format import CONSOLE_SVG_FORMAT

    before, _, rest = CONSOLE_SVG_FORMAT.partition("@font-face")
    after = rest[rest.rindex("@font-face") :].partition("}}")[2] if "@font-face" in rest else rest
    return before + after.replace("Fira Code", "monospace")
