"""Act: what is in trouble, the most urgent first, and what to do about it."""

import html
from datetime import timedelta
from urllib.parse import quote

import streamlit as st

from dashboards import charts, page, queries
from dashboards.warehouse import Row
from dashboards.words import (
    ALERTS,
    NEXT_STAGES,
    PRIORITIES,
    SEVERITIES,
    STAGES,
    STATUSES,
    at,
    hours,
    next_step,
    word,
)

_SHOWN = 12
_AGES = {
    "under_a_day": "under a day",
    "days_1_to_3": "1 to 3 days",
    "days_3_to_7": "3 to 7 days",
    "over_a_week": "over a week",
}


def show() -> None:
    """The page."""
    page.title("Act", "Open orders in trouble, the most urgent first, before the patient calls.")
    if page.is_empty():
        return
    with st.container(key="filters"):
        first, second, third = st.columns(3)
        with first:
            severities = st.pills(
                "Severity",
                list(SEVERITIES.values()),
                selection_mode="multi",
                key="severity",
                bind="query-params",
            )
        with second:
            priorities = st.pills(
                "Priority",
                list(PRIORITIES.values()),
                selection_mode="multi",
                key="priority",
                bind="query-params",
            )
        with third:
            stages = st.multiselect(
                "Stage",
                list(NEXT_STAGES.values()),
                key="stage",
                bind="query-params",
                placeholder="Every stage",
            )
    picked = {
        "severities": page.choices(SEVERITIES, severities),
        "priorities": page.choices(PRIORITIES, priorities),
        "stages": page.choices(NEXT_STAGES, stages),
    }
    _queue(picked)
    _stuck()


@page.live(10)
def _queue(picked: dict[str, str]) -> None:
    rows = page.ask_now(queries.ALERTS, most=_SHOWN, **picked)
    counts = page.ask_now(queries.ALERT_COUNTS)
    total = sum(row["alert_count"] for row in counts)
    st.header("Alerts", anchor=False, help=page.explained("order_alerts"))
    if not total:
        page.nothing("No open order is in trouble, as of the last build. Nothing to do here.")
        return
    if not rows:
        page.nothing(
            f"None of the {total:,} alerts fits these filters. Take one of them away to see more."
        )
        return
    matching = rows[0]["matching_count"]
    by = {
        name: sum(r["alert_count"] for r in counts if r["severity"] == name) for name in SEVERITIES
    }
    shown = f"the first {len(rows)} of {matching:,}" if matching > len(rows) else f"{matching:,}"
    st.caption(
        f"Showing {shown}. In all: "
        + ", ".join(f"{by[name]:,} {word(SEVERITIES, name).lower()}" for name in SEVERITIES)
        + f"; as of {at(rows[0]['as_of'])} UTC, when the last build read."
    )
    st.html("".join(_card(row) for row in rows))


def _card(row: Row) -> str:
    text = {name: html.escape(str(value)) for name, value in row.items()}
    overdue = row["overdue_hours"]
    late = overdue > 0
    more = [
        word(ALERTS, one)
        for one in row["all_alert_types"].split(",")
        if one and one != row["alert_type"]
    ]
    facts = [
        word(PRIORITIES, row["priority"]),
        row["drug"],
        row["payer"],
        row["pharmacy"],
        row["carrier"],
    ]
    known = html.escape(" · ".join(str(one) for one in facts if one))
    return (
        f"<article class='alert {text['severity']}' aria-label='Alert of order {text['order_id']}'>"
        f"<div><div class='severity'>{word(SEVERITIES, row['severity'])}</div>"
        f"<div class='small'>{html.escape(word(STAGES, row['stage']))}</div></div>"
        f"<div class='middle'><a href='order_journey?order_id={quote(row['order_id'], safe='')}' "
        f"target='_self'>{text['order_id']}</a>"
        f"<div class='what'>{html.escape(word(ALERTS, row['alert_type']))}"
        f"{html.escape(' · ' + ', '.join(more)) if more else ''}</div>"
        f"<div>{text['explanation']}</div>"
        f"<div class='todo'><b>Next:</b> "
        f"{html.escape(next_step(row['alert_type'], row['obstacle'], row['stage']))}</div>"
        f"<div class='small'>{known}</div></div>"
        f"<div class='right'><div class='overdue'>{hours(abs(overdue))}</div>"
        f"<div class='small'>{'overdue' if late else 'left'}</div>"
        f"<div class='small'>expected {at(row['expected_by'])}</div></div></article>"
    )


@page.live(10)
def _stuck() -> None:
    st.header("Stuck orders", anchor=False)
    now = page.freshness()
    rows = page.ask(
        queries.STUCK,
        a_day_ago=now.as_of - timedelta(days=1),
        three_days_ago=now.as_of - timedelta(days=3),
        a_week_ago=now.as_of - timedelta(days=7),
    )
    if not rows:
        page.nothing("No order is open.")
        return
    by = {row["current_status"]: row for row in rows}
    order = [one for one in STATUSES if one in by] + sorted(set(by) - set(STATUSES))
    table = charts.frame(
        [{"status": word(STATUSES, one), **{age: by[one][age] for age in _AGES}} for one in order]
    )
    old = sum(row["days_3_to_7"] + row["over_a_week"] for row in rows)
    st.caption(
        f"Open orders by status and by how long nothing has happened: {old:,} for three days "
        "or more."
    )
    st.altair_chart(
        charts.stacked_ages(table, _AGES, list(table["status"])),
        width="stretch",
        alt="Open orders by status and by the time since their last event.",
    )
