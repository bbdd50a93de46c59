"""Flow: how orders come through, where time goes, and who has to act."""

import html
from datetime import datetime, timedelta
from typing import Any, Final

import streamlit as st

from dashboards import charts, page, queries
from dashboards.freshness import Freshness
from dashboards.tile_grid import PLACES
from dashboards.warehouse import Row
from dashboards.words import ACTORS, STAGES, percent, share, word

_PERIODS = ("7", "14", "30", "90")
_MEASURES = ("Orders", "Open", "Late")
_FEW = 10


def show() -> None:
    """The page."""
    page.title("Flow", "How far orders come, where their time goes, and who has to act.")
    if page.is_empty():
        return
    days = st.segmented_control(
        "Days of placement, up to today",
        list(_PERIODS),
        default="14",
        required=True,
        key="days",
        bind="query-params",
    )
    with page.told():
        now = page.freshness()
        until = now.today + timedelta(days=1)
        since = now.days_before(int(days or 14) - 1)
        _parts(now, since, until)


def _parts(now: Freshness, since: datetime, until: datetime) -> None:
    funnel = page.ask(queries.FUNNEL, since=since, until=until)[0]
    if not funnel["placed"]:
        page.nothing("No order was placed in this period. Choose a longer one.")
        return
    rejects = page.ask(queries.REJECTS, since=since, until=until)
    left, right = st.columns(2, gap="medium")
    with left:
        _funnel(funnel)
    with right:
        _insurance(funnel, rejects)
    _hours(since, now)
    left, right = st.columns(2, gap="medium")
    with left:
        _carriers(since, now)
    with right:
        _states(since, until)


def _funnel(funnel: Row) -> None:
    st.header("How far they came", anchor=False)
    placed = funnel["placed"]
    steps = ("placed", "approved", "dispensed", "shipped", "delivered")
    st.caption(
        f"Of {placed:,} placed: {funnel['still_open']:,} still on their way, "
        f"{funnel['cancelled']:,} cancelled."
    )
    table = charts.frame([{"step": one.capitalize(), "orders": funnel[one]} for one in steps])
    st.altair_chart(
        charts.bars(table, "orders", "step", label="orders", height=215),
        width="stretch",
        alt="Funnel: " + ", ".join(f"{one} {funnel[one]}" for one in steps),
    )


def _insurance(funnel: Row, rejects: list[Row]) -> None:
    st.header("Insurance", anchor=False)
    with st.container(key="kpis-two-insurance"):
        st.metric(
            "First-pass approval",
            percent(share(funnel["first_pass"], funnel["answered"])),
            border=True,
            help=page.explained("first_pass_approval"),
        )
        st.metric(
            "Rejected at least once",
            percent(share(funnel["rejected"], funnel["placed"])),
            border=True,
            help=page.explained("rejection_rate"),
        )
        st.metric(
            "Needed intervention",
            percent(share(funnel["interventions"], funnel["placed"])),
            border=True,
            help=page.explained("intervention_rate"),
        )
        st.metric(
            "Prior auths decided",
            f"{funnel['prior_auths_decided']:,} of {funnel['prior_auths']:,}",
            border=True,
            help="Orders with a decision, of those with a prior authorisation submitted, from "
            "`fact_order_lifecycle`.",
        )
    if not rejects:
        page.nothing("No order of this period was rejected.")
        return
    actors: dict[str, int] = {}
    for row in rejects:
        actors[row["actor"]] = actors.get(row["actor"], 0) + row["order_count"]
    st.markdown(
        "**First rejections, by who has to act:** "
        + " · ".join(f"{word(ACTORS, one)} {count:,}" for one, count in actors.items())
    )
    with st.expander("By reject code"):
        st.table(
            [
                {
                    "Code": row["reject_code"] or "—",
                    "Meaning": row["description"],
                    "Has to act": word(ACTORS, row["actor"]),
                    "Orders": f"{row['order_count']:,}",
                    "Approved later": f"{row['approved_later']:,}",
                    "Waiting": f"{row['waiting']:,}",
                }
                for row in rejects
            ],
            hide_index=True,
        )


def _hours(since: datetime, now: Freshness) -> None:
    st.header("Where time goes", anchor=False, help=page.explained("stage_hours"))
    rows = page.ask(queries.STAGE_DAYS, first_day=since.date(), last_day=now.today.date())
    st.caption(
        "By the day on which orders began the stage. The last days are low by nature: of them "
        "only the quick orders are through. Blue is the median, dashed orange the 90th percentile, "
        "red the target for standard priority."
    )
    targets = {
        row["stage"]: row["target_hours"]
        for row in page.ask(queries.TARGETS)
        if row["priority"] == "standard"
    }
    for (stage, label), column in zip(STAGES.items(), st.columns(4, gap="small"), strict=True):
        done = [row for row in rows if row["stage"] == stage]
        with column:
            completed = sum(row["orders_completed"] for row in done)
            breaches = sum(row["breaches"] for row in done)
            st.markdown(
                f"**{label}**  \n{percent(share(completed - breaches, completed))} within target"
            )
            if not any(row["p50_hours"] is not None for row in done):
                page.nothing("No order has come through yet.")
                continue
            st.altair_chart(
                charts.stage_hours(done, float(targets.get(stage, 0))),
                width="stretch",
                alt=f"Median and 90th percentile of hours, {label}, by day.",
            )


def _carriers(since: datetime, now: Freshness) -> None:
    st.header("Carriers", anchor=False, help=page.explained("on_time_rate"))
    rows = page.ask(queries.CARRIERS, first_day=since.date(), last_day=now.today.date())
    table: list[dict[str, Any]] = []
    for row in rows:
        delivered = row["on_time_deliveries"] + row["late_deliveries"]
        if delivered:
            rate = row["on_time_deliveries"] / delivered
            published = row["published_on_time_rate"]
            table.append(
                {
                    "carrier": row["carrier"],
                    "rate": float(rate),
                    "published_on_time_rate": None if published is None else float(published),
                    "low": min(float(rate), float(published or rate)),
                    "high": max(float(rate), float(published or rate)),
                    "delivered": int(delivered),
                }
            )
    if not table:
        page.nothing("No parcel was promised for, and delivered in, this period.")
        return
    st.caption("Dot: this period. Orange tick: the rate that the carrier is known for.")
    st.altair_chart(
        charts.on_time(charts.frame(table)),
        width="stretch",
        alt="On time: " + ", ".join(f"{one['carrier']} {one['rate']:.1%}" for one in table),
    )
    st.table(
        [
            {
                "Carrier": row["carrier"],
                "Shipments": f"{row['shipments']:,}",
                "Late": f"{row['late_deliveries']:,}",
                "Failed attempts": f"{row['attempts_failed']:,}",
                "Exceptions": f"{row['exceptions']:,}",
                "Too warm or cold": f"{row['temperature_excursions']:,}",
            }
            for row in rows
        ],
        hide_index=True,
    )


def _states(since: datetime, until: datetime) -> None:
    st.header("By state", anchor=False)
    measure = st.segmented_control(
        "Show",
        list(_MEASURES),
        default="Orders",
        required=True,
        key="measure",
        bind="query-params",
        label_visibility="collapsed",
    )
    rows = page.ask(queries.STATES, since=since, until=until)
    values = {row["state"]: _value(row, str(measure)) for row in rows}
    known = [value for value in values.values() if value is not None]
    if not known:
        page.nothing("No order of this period says where it goes.")
        return
    st.caption(
        {
            "Orders": "Orders placed in the period, by the state they go to.",
            "Open": "Of these, still open.",
            "Late": f"Share delivered late. States with fewer than {_FEW} deliveries show none.",
        }[str(measure)]
    )
    tiles = "".join(
        _tile(state, place, values.get(state), max(known), str(measure))
        for state, place in PLACES.items()
    )
    st.html(f"<div class='tiles' role='list' aria-label='By state'>{tiles}</div>")
    elsewhere = sum(row["order_count"] for row in rows if row["state"] not in PLACES)
    if elsewhere:
        st.caption(f"{elsewhere:,} more go to a place that is not on the map.")


def _value(row: Row, measure: str) -> float | None:
    if measure == "Orders":
        return float(row["order_count"])
    if measure == "Open":
        return float(row["open_count"])
    delivered = row["on_time_count"] + row["late_count"]
    return row["late_count"] / delivered if delivered >= _FEW else None


# A sequence of one hue, from light to dark, each with the text colour that is read on it.
_SHADES: Final = (
    ("#e3eef7", "#17222d"),
    ("#b9d7ec", "#17222d"),
    ("#7fb8dd", "#17222d"),
    ("#2b7ab0", "#ffffff"),
    ("#0b4f80", "#ffffff"),
)


def _tile(
    state: str, place: tuple[int, int], value: float | None, most: float, measure: str
) -> str:
    row, column = place
    said = "none" if value is None else f"{value:.0%}" if measure == "Late" else f"{value:,.0f}"
    if value is None:
        fill, ink = "var(--pbm-soft)", "var(--pbm-muted)"
    else:
        step = min(len(_SHADES) - 1, int(value / most * len(_SHADES))) if most else 0
        fill, ink = _SHADES[step]
    return (
        f"<div class='tile' role='listitem' aria-label='{state}: {html.escape(said)}' "
        f"style='grid-row:{row};grid-column:{column};background:{fill};color:{ink}'>"
        f"<span>{state}</span><span class='n'>{'' if value is None else said}</span></div>"
    )
