"""Section dashboards: what each page asks of the warehouse, and when a person sees the first page.

The larger warehouse of the section before it is asked, in which the last messages are live, so that
batch and speed are both there. Every query of every page is then asked as its page asks it, by the
reading login, without the cache that sessions share. At last the Command Center is opened in a real
browser, alone and beside twenty other sessions, which ask the server as browsers do and draw
nothing: the browsers of twenty people are on twenty machines.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import sessions
from benchmarks.report import Section
from benchmarks.stack import Bench
from dashboards import pictures, queries, twin
from dashboards.freshness import Freshness
from dashboards.queries import Query
from dashboards.warehouse import PostgresWarehouse, Value
from pbm import warehouse
from pbm.processes import LOCALHOST, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LIMIT_MS = 300
FIRST_PAINT_SECONDS = 2
SESSIONS = 20
_TIMES = 7

Parameters = Mapping[str, Value]


def run(orders: int, bench: Bench) -> None:
    """Measure with the year of ``orders`` that the section before left in a warehouse."""
    section = Section("dashboards")
    reader = PostgresWarehouse(warehouse.as_login(bench.dsn, warehouse.DASHBOARD))
    slowest = _queries(section, reader, orders)
    _sessions(section, reader, orders)
    section.facts[f"slowest query with {orders:,} orders, median"] = slowest
    section.facts["aim"] = f"{LIMIT_MS} ms a query, {FIRST_PAINT_SECONDS} s to the first paint"
    section.write()
    _first_paint(section, bench, orders)
    reader.close()
    section.write()


def asked(reader: PostgresWarehouse) -> Mapping[str, list[tuple[Query, Parameters]]]:
    """What each page asks, with the values that it would bind now."""
    now = Freshness.of(reader.rows(queries.STATUS, {})[0])
    fortnight = now.days_before(13)
    week = now.days_before(7)
    days: Parameters = {"first_day": fortnight.date(), "last_day": now.today.date()}
    period: Parameters = {"since": fortnight, "until": now.today + timedelta(days=1)}
    quarter: Parameters = {"since": now.days_before(89), "until": now.today + timedelta(days=1)}
    order: Parameters = {
        "order_id": reader.rows(
            queries.ALERTS, {"severities": "", "stages": "", "priorities": "", "most": 1}
        )[0]["order_id"]
    }
    published = now.last_published_at or now.observed_at
    return {
        "every page": [(queries.STATUS, {})],
        "Now": [
            (queries.OPEN_ORDERS, {}),
            (queries.TODAY, {"today": now.today}),
            (queries.DAYS, {"first_day": fortnight.date()}),
            (queries.ENDED, {"since": fortnight}),
            (queries.PROMISES, days),
            (queries.STAGE_DAYS, days),
            (queries.CLOCKS, {"since": week}),
            (queries.TARGETS, {}),
            (queries.ACTIVITY, {"since": published - timedelta(minutes=59)}),
        ],
        "Act": [
            (queries.ALERTS, {"severities": "", "stages": "", "priorities": "", "most": 12}),
            (queries.ALERT_COUNTS, {}),
            (
                queries.STUCK,
                {
                    "a_day_ago": now.as_of - timedelta(days=1),
                    "three_days_ago": now.as_of - timedelta(days=3),
                    "a_week_ago": now.as_of - timedelta(days=7),
                },
            ),
        ],
        "Order journey": [
            (queries.ORDER, order),
            (queries.ORDER_EVENTS, order),
            (queries.ORDER_ALERT, order),
            (queries.SOME_ORDERS, {"since": now.as_of - timedelta(days=2)}),
        ],
        "Flow, 14 days": [
            (queries.FUNNEL, period),
            (queries.REJECTS, period),
            (queries.CARRIERS, days),
            (queries.STATES, period),
        ],
        "Flow, 90 days": [
            (queries.FUNNEL, quarter),
            (queries.REJECTS, quarter),
            (queries.STATES, quarter),
        ],
        "Data health": [
            (queries.RECONCILIATION, {"most": 72}),
            (queries.DEAD_LETTERS, {"since": now.observed_at - timedelta(days=7)}),
            (queries.BUILD_RUN, {}),
            (queries.BUILD, {"since": now.observed_at - timedelta(days=1)}),
            (queries.BUILD_TROUBLE, {"since": now.observed_at - timedelta(days=1)}),
        ],
    }


def _timed(what: Callable[[], object]) -> float:
    started = time.perf_counter()
    what()
    return time.perf_counter() - started


def _queries(section: Section, reader: PostgresWarehouse, orders: int) -> str:
    """Ask each query by itself; return the slowest in words."""
    slowest = (0.0, "")
    for page, several in asked(reader).items():
        for query, parameters in several:
            seconds = [
                _timed(lambda q=query, p=parameters: reader.rows(q, p))  # type: ignore[misc]
                for _ in range(_TIMES)
            ]
            middle = median(seconds)
            slowest = max(slowest, (middle, f"{page}: {query.name}"))
            section.facts[f"{page}: {query.name}, {orders:,} orders"] = (
                f"{middle * 1000:.0f} ms, longest {max(seconds) * 1000:.0f} ms"
            )
            print(f"dashboards: {page}: {query.name}: {middle * 1000:.0f} ms", flush=True)
    return f"{slowest[0] * 1000:.0f} ms ({slowest[1]})"


def _sessions(section: Section, reader: PostgresWarehouse, orders: int) -> None:
    """Ask all of Now from many sessions at once, without the cache that they share."""
    page = [*asked(reader)["every page"], *asked(reader)["Now"]]
    with ThreadPoolExecutor(SESSIONS) as pool:
        started = time.perf_counter()
        seconds = list(
            pool.map(
                lambda _: sum(_timed(lambda: reader.rows(*one)) for one in page),  # noqa: B023
                range(SESSIONS),
            )
        )
        wall = time.perf_counter() - started
    section.add(
        f"all of Now from {SESSIONS} sessions at once, {orders:,} orders, no cache",
        SESSIONS * len(page),
        "queries",
        wall,
        note=f"a session waits {median(seconds):.1f} s (median); in the app they share answers",
    )


def _first_paint(section: Section, bench: Bench, orders: int) -> None:
    """Open the Command Center in a browser, alone and beside other sessions."""
    with _served(bench) as port, pictures.browser() as browser:
        for others in (0, SESSIONS):
            with sessions.watching(port, LOCALHOST, others) as watched:
                began = time.perf_counter()
                seconds = [_until_figures(browser, port) for _ in range(5)]
                took = time.perf_counter() - began
            beside = f", beside {others} sessions" if others else ""
            section.facts[f"first figures of the Command Center, {orders:,} orders{beside}"] = (
                f"{median(seconds):.2f} s, longest {max(seconds):.2f} s"
            )
            if others:
                section.facts[f"what {others} sessions were sent meanwhile"] = (
                    f"{watched.runs / took:.0f} runs of a live part a second"
                )
            print(f"dashboards: first figures{beside}: {median(seconds):.2f} s", flush=True)


def _until_figures(browser: "Browser", port: int) -> float:
    """Seconds from asking for the Command Center to its first figures."""
    page = browser.new_page()

    def opened() -> None:
        page.goto(f"http://{LOCALHOST}:{port}", wait_until="commit")
        page.wait_for_selector("[data-testid=stMetricValue]", timeout=120_000)

    seconds = _timed(opened)
    page.close()
    return seconds


@contextmanager
def _served(bench: Bench) -> Iterator[int]:
    port = free_port()
    server = subprocess.Popen(
        twin.dashboard_command(port),
        env={**os.environ, **bench.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        twin.wait_until_it_answers(port)
        yield port
    finally:
        server.terminate()
        server.wait(20)
