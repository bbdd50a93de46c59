"""`python -m benchmarks.alerts`: score order alerts against the simulator, in docs/alerts.md.

The simulator knows which orders an incident really held up. Alerts are looked at every few hours
through the incident, each time from the events until then alone.
"""

import signal
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks.stack import bench_stack
from ingestion.generate_pbm_orders import INCIDENTS, OrderSimulation, SimulationManifest
from pbm.running import program
from pbm.settings import PROJECT_ROOT

PAGE: Final = PROJECT_ROOT / "docs" / "alerts.md"
_BEGIN: Final = "<!-- scores: written by python -m benchmarks.alerts -->\n"
_END: Final = "<!-- end of scores -->\n"

ORDERS: Final = 2000
DAYS: Final = 21
SEED: Final = 11
STEP: Final = timedelta(hours=6)
"""How often alerts are looked at, and four times in an incident at least."""

AFTERWARDS: Final = timedelta(hours=12)
"""How long after the incident they are still looked at."""

# Alerts as they would have been at an instant: the models' own macros, over the events until then.
ALERTS_AS_OF: Final = """
with

known_events as (

    select * from {{ ref('stg_order_events') }}
    where
        event_timestamp <= cast('@as_of@' as {{ timestamp_type() }})
        and order_id like 'ORD-@namespace@-%'

),

cleaned_orders as (

    {{ order_milestones('known_events') }}

),

known_lifecycles as (

    {{ order_lifecycle('cleaned_orders') }}

)

select order_id, severity, alert_type from (

    {{ order_alerts(
        'known_lifecycles',
        'known_events',
        "cast('@as_of@' as " ~ timestamp_type() ~ ")",
    ) }}

) as alerts
"""

# Orders that kept every promise: an alert for one of them was for nothing.
ORDERS_THAT_WENT_WELL: Final = """
select lifecycles.order_id
from {{ ref('fact_order_lifecycle') }} as lifecycles
where
    lifecycles.order_id like 'ORD-@namespace@-%'
    and lifecycles.is_on_time
    and not coalesce(lifecycles.has_temperature_excursion, false)
    and not exists (
        select 1
        from {{ ref('stage_targets') }} as targets
        where
            targets.priority = {{ target_priority('lifecycles.priority') }}
            and case targets.stage
                {%- for stage in fulfillment_stages() %}
                when '{{ stage.name }}' then lifecycles.hours_{{ stage.name }}
                {%- endfor %}
            end > targets.target_hours
    )
"""


@dataclass(frozen=True)
class Score:
    """What alerts were worth in one incident.

    Attributes:
        incident: Its name.
        stuck: Orders that it really held up.
        caught: Of these, flagged while they were.
        caught_late_or_worse: Of these, with a severity above ``warning``.
        median_delay_hours: From the moment an order was held up to its first flag.
        median_lead_hours: From the first flag to the delivery that was promised, for orders that
            have a promise by the end.
        flagged: All orders flagged from the incident's start to some hours after its end.
        false: Of these, orders that the incident did not touch and that kept every promise.
        flagged_late_or_worse: Orders flagged with a severity above ``warning``.
        false_late_or_worse: Of these, false ones.
    """

    incident: str
    stuck: int
    caught: int
    caught_late_or_worse: int
    median_delay_hours: float
    median_lead_hours: float
    flagged: int
    false: int
    flagged_late_or_worse: int
    false_late_or_worse: int

    @property
    def recall(self) -> float:
        """Share of the stuck orders that were flagged."""
        return self.caught / self.stuck

    @property
    def precision(self) -> float:
        """Share of the flagged orders that were in trouble, by the incident or otherwise."""
        return 1 - self.false / self.flagged


def scores(
    dsn: str, folder: Path, pbm: Callable[..., object], dbt: Callable[..., str]
) -> list[Score]:
    """Simulate each incident in an empty warehouse and score the alerts.

    Args:
        dsn: The warehouse.
        folder: Where files may be written.
        pbm: Runs `pbm` with arguments.
        dbt: Runs `dbt` with arguments and returns what it prints.
    """
    file = folder / "incidents.jsonl"
    manifests = []
    with file.open("wb") as events:
        for incident in INCIDENTS:
            simulation = OrderSimulation(orders=ORDERS, days=DAYS, seed=SEED, incident=incident)
            for batch in simulation.batches():
                events.writelines(message.data + b"\n" for message in batch)
            manifests.append(simulation.manifest())
    pbm("ingest", "--from", str(file))
    dbt("--quiet", "build", "--exclude-resource-types", "test", "unit_test",
        "--select", "+fact_order_lifecycle", "stage_targets", "reject_codes")  # fmt: skip
    alerts, fine = (
        dbt("--quiet", "compile", "--inline", template)
        for template in (ALERTS_AS_OF, ORDERS_THAT_WENT_WELL)
    )
    with psycopg.connect(dsn, options="-c timezone=UTC -c jit=off") as connection:
        return [score(connection, alerts, fine, manifest) for manifest in manifests]


def score(
    connection: psycopg.Connection[Any], alerts: str, fine: str, manifest: SimulationManifest
) -> Score:
    """Score the alerts of one generation, whose events and orders are in the warehouse.

    Args:
        connection: To the warehouse.
        alerts: What dbt makes of ``ALERTS_AS_OF``.
        fine: What dbt makes of ``ORDERS_THAT_WENT_WELL``.
        manifest: The generation's manifest.
    """
    namespace, incident = manifest.namespace, manifest.incident
    assert incident is not None
    stuck = {order.order_id: order for order in incident.orders}
    step = min(STEP, (incident.until - incident.since) / 4)
    looks = list(_looks(incident.since, incident.until + AFTERWARDS, step))
    query = alerts.replace("@namespace@", namespace)
    flags: dict[str, list[tuple[datetime, bool]]] = {}
    for look in looks:
        for order_id, severity, _ in _rows(connection, query.replace("@as_of@", look.isoformat())):
            flags.setdefault(order_id, []).append((look, severity != "warning"))

    fine = fine.replace("@namespace@", namespace)
    went_well = {row[0] for row in _rows(connection, fine)} - stuck.keys()
    serious = {order for order, found in flags.items() if any(late for _, late in found)}
    first: dict[str, datetime] = {}
    caught_late = 0
    for order_id, order in stuck.items():
        until = order.until or looks[-1] + step
        found = [(at, late) for at, late in flags.get(order_id, []) if order.since <= at < until]
        if found:
            first[order_id] = found[0][0]
            caught_late += any(late for _, late in found)
    promised = dict(
        connection.execute(
            "select order_id, promised_delivery_at from pbm_gold.fact_order_lifecycle"
            " where promised_delivery_at is not null"
        ).fetchall()
    )
    return Score(
        incident=incident.name,
        stuck=len(stuck),
        caught=len(first),
        caught_late_or_worse=caught_late,
        median_delay_hours=_median_hours(
            at - stuck[order_id].since for order_id, at in first.items()
        ),
        median_lead_hours=_median_hours(
            promised[order_id] - at for order_id, at in first.items() if order_id in promised
        ),
        flagged=len(flags),
        false=len(flags.keys() & went_well),
        flagged_late_or_worse=len(serious),
        false_late_or_worse=len(serious & went_well),
    )


def _looks(since: datetime, until: datetime, step: timedelta) -> Iterator[datetime]:
    while since <= until:
        yield since
        since += step


def _rows(connection: psycopg.Connection[Any], query: str) -> Sequence[tuple[Any, ...]]:
    return connection.execute(query.encode()).fetchall()


def _median_hours(spans: Iterator[timedelta]) -> float:
    hours = [span.total_seconds() / 3600 for span in spans]
    return round(statistics.median(hours), 1) if hours else float("nan")


def table(found: Sequence[Score]) -> str:
    """The scores in Markdown."""
    heads = (
        "incident", "held up", "flagged", "of these `late` or worse", "first flag after",
        "before the promise", "flags in all", "false", "`late` or worse", "false",
    )  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [
        f"| `{s.incident}` | {s.stuck} | {s.caught} ({s.recall:.0%}) | {s.caught_late_or_worse}"
        f" | {s.median_delay_hours} h | {s.median_lead_hours} h | {s.flagged}"
        f" | {s.false} ({1 - s.precision:.0%}) | {s.flagged_late_or_worse}"
        f" | {s.false_late_or_worse} |"
        for s in found
    ]
    return "\n".join(lines) + "\n"


def written_table() -> str:
    """The scores as the page has them."""
    return PAGE.read_text().partition(_BEGIN)[2].partition(_END)[0].strip("\n") + "\n"


def main() -> None:
    """Score the alerts on a stack of their own, and write the page."""
    with tempfile.TemporaryDirectory() as folder, bench_stack() as bench:
        places = {
            "DBT_PROFILES_DIR": bench.env["PBM_HOME"],
            "DBT_TARGET_PATH": f"{folder}/target",
            "DBT_LOG_PATH": f"{folder}/logs",
        }

        def dbt(*arguments: str) -> str:
            return subprocess.run(
                [program("dbt"), *arguments, "--project-dir", str(PROJECT_ROOT)],
                env={**bench.env, **places},
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            ).stdout

        found = table(scores(bench.dsn, Path(folder), bench.pbm, dbt))
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    PAGE.write_text(f"{before}{_BEGIN}\n{found}\n{_END}{rest.partition(_END)[2]}")
    print(found)


if __name__ == "__main__":
    # a run that is told to end ends its services, as after Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
