"""Now: what is going on at this second."""

from datetime import date, timedelta
from decimal import Decimal

import streamlit as st

from dashboards import charts, page, queries
from dashboards.freshness import Freshness
from dashboards.words import CLOCKS, STATUSES, hours, percent, share, word

_MINUTES = 60
_DAYS = 14
_WEEK = 7


def show() -> None:
    """The page."""
    page.title("Now", "Every order of the pharmacy, as of this second. It refreshes by itself.")
    if page.is_empty():
        return
    _figures()
    left, right = st.columns([5, 3], gap="medium")
    with left:
        _activity()
    with right:
        _statuses()


@page.live()
def _figures() -> None:
    now = page.freshness()
    _orders(now)
    _clocks(now)


def _orders(now: Freshness) -> None:
    first_day = now.days_before(_DAYS - 1)
    open_count = sum(row["order_count"] for row in page.ask_now(queries.OPEN_ORDERS))
    today = page.ask_now(queries.TODAY, today=now.today)[0]
    days = page.ask(queries.DAYS, first_day=first_day.date())
    ended = page.ask(queries.ENDED, since=first_day)
    day = f"on {now.today:%d %b}, UTC"
    placed = [row["orders_placed"] for row in days]
    still_open = [row["orders_open"] for row in days]
    shipped = [row["order_count"] for row in ended if row["milestone"] == "shipped"]
    delivered = [row["order_count"] for row in ended if row["milestone"] == "delivered"]
    with st.container(key="kpis-orders"):
        for label, value, counts, note, told in (
            ("Open orders", open_count, still_open, "as of this second", "by day of placement"),
            ("Placed today", today["placed"], placed, day, "by day"),
            ("Shipped today", today["shipped"], shipped, day, "by day"),
            ("Delivered today", today["delivered"], delivered, day, "by day"),
        ):
            source = "open_orders" if label == "Open orders" else "orders_today"
            st.metric(
                label,
                f"{value:,}",
                border=True,
                chart_data=[float(count) for count in counts] or None,
                chart_type="bar",
                delta=note,
                delta_color="off",
                delta_arrow="off",
                help=page.explained(source)
                + f"\n\nThe bars are the last {_DAYS} days {told}, as of the last build.",
            )


def _clocks(now: Freshness) -> None:
    since = now.days_before(_WEEK)
    first_day, last_day = now.days_before(_DAYS - 1).date(), now.today.date()
    promises = page.ask(queries.PROMISES, first_day=first_day, last_day=last_day)
    stages = page.ask(queries.STAGE_DAYS, first_day=first_day, last_day=last_day)
    clocks = {row["stage"]: row for row in page.ask_now(queries.CLOCKS, since=since)}
    targets = {(row["stage"], row["priority"]): row for row in page.ask(queries.TARGETS)}

    week = [row for row in promises if row["promised_date"] >= since.date()]
    kept = sum(row["on_time_deliveries"] for row in week)
    due = kept + sum(row["late_deliveries"] for row in week)
    daily = [
        share(row["on_time_deliveries"], row["on_time_deliveries"] + row["late_deliveries"])
        for row in promises
    ]
    breaches: dict[date, int] = {}
    for row in stages:
        if row["stage"] not in CLOCKS:
            breaches[row["stage_date"]] = breaches.get(row["stage_date"], 0) + row["breaches"]
    week_breaches = sum(count for day, count in breaches.items() if day >= since.date())
    with st.container(key="kpis-clocks"):
        st.metric(
            "On time, 7 days",
            percent(share(kept, due)),
            border=True,
            delta=f"{due - kept:,} of {due:,} late",
            delta_color="off",
            delta_arrow="off",
            chart_data=[value for value in daily if value is not None] or None,
            help=page.explained("on_time_rate"),
        )
        st.metric(
            "Breaches, 7 days",
            f"{week_breaches:,}",
            border=True,
            delta="of a stage's target",
            delta_color="off",
            delta_arrow="off",
            chart_data=[float(count) for count in breaches.values()] or None,
            chart_type="bar",
            help=page.explained("stage_breaches"),
        )
        for stage, label in CLOCKS.items():
            clock = clocks.get(stage)
            target = targets.get((stage, "standard"))
            median = None if clock is None else clock["p50_hours"]
            st.metric(
                label,
                hours(median),
                border=True,
                delta=_against(median, None if target is None else target["target_hours"], clock),
                delta_color="off",
                delta_arrow="off",
                chart_data=[
                    float(one["p50_hours"])
                    for one in stages
                    if one["stage"] == stage and one["p50_hours"] is not None
                ]
                or None,
                help=page.explained(stage)
                + "\n\nThe figure is the median of those that ended in the last seven days.",
            )


def _against(median: Decimal | None, target: Decimal | None, row: dict[str, object] | None) -> str:
    if median is None or target is None or row is None:
        return "nothing ended in 7 days"
    within = share(row["within_count"], row["order_count"])  # type: ignore[arg-type]
    return f"target {hours(target)} · {percent(within)} within"


@page.live()
def _activity() -> None:
    now = page.freshness()
    st.header("Activity by minute", anchor=False, help=page.explained("activity_by_minute"))
    until = now.last_published_at
    if until is None:
        page.nothing("No event has been published yet.")
        return
    since = (until - timedelta(minutes=_MINUTES - 1)).replace(second=0, microsecond=0)
    rows = page.ask_now(queries.ACTIVITY, since=since)
    if not rows:
        page.nothing("No event in the last hour of the stream.")
        return
    total = sum(row["event_count"] for row in rows)
    live = sum(row["event_count"] for row in rows if row["is_live"])
    uneven = charts.is_uneven(rows)
    st.caption(
        f"{total:,} events in the {_MINUTES} minutes up to {until:%H:%M} UTC; "
        f"{live:,} of them live, not built yet."
        + (" One minute is so busy that the scale is logarithmic." if uneven else "")
    )
    st.altair_chart(
        charts.activity(rows, since, until),
        width="stretch",
        alt=f"Bars of events by minute: {total} in all, {live} of them live.",
    )


@page.live()
def _statuses() -> None:
    st.header("Where open orders are", anchor=False, help=page.explained("open_orders"))
    counts = {row["current_status"]: row for row in page.ask_now(queries.OPEN_ORDERS)}
    if not counts:
        page.nothing("No order is open: everything is delivered or cancelled.")
        return
    known = [status for status in STATUSES if status in counts]
    table = [
        {"status": word(STATUSES, one), "orders": counts[one]["order_count"]}
        for one in [*known, *(set(counts) - set(STATUSES))]
    ]
    live = sum(row["live_count"] for row in counts.values())
    st.caption(f"{live:,} of them have moved since the last build.")
    st.altair_chart(
        charts.bars(charts.frame(table), "orders", "status", label="open orders"),
        width="stretch",
        alt="Open orders by status: "
        + ", ".join(f"{row['status']} {row['orders']}" for row in table),
    )
