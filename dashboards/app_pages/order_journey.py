"""Order journey: everything that happened to one order, and what is expected next."""

import html
from datetime import datetime, timedelta

import streamlit as st

from dashboards import charts, page, queries
from dashboards.freshness import in_words
from dashboards.warehouse import Row
from dashboards.words import (
    ACTORS,
    EVENTS,
    SEVERITIES,
    SOURCES,
    STAGES,
    STATUSES,
    at,
    hours,
    next_step,
    short_key,
    word,
)

_STARTS = {
    "placed_to_approved": "placed_at",
    "approved_to_dispensed": "approved_at",
    "dispensed_to_shipped": "dispensed_at",
    "shipped_to_delivered": "shipped_at",
}
_BAD = {"rejected", "denied", "exception", "attempt_fail", "expired"}
_NEXT = {
    "placed_to_approved": "Approval",
    "approved_to_dispensed": "Dispensing",
    "dispensed_to_shipped": "Shipment",
    "shipped_to_delivered": "Delivery",
}


def show() -> None:
    """The page."""
    page.title("Order journey", "One order, from its placement to the patient's door.")
    if page.is_empty():
        return
    order_id = st.text_input(
        "Order id",
        key="order_id",
        bind="query-params",
        placeholder="ORD-…",
        icon=":material/search:",
        max_chars=64,
        help="As the source names it. Act links to the orders in trouble.",
    ).strip()
    if not order_id:
        _some_orders()
        return
    _order(order_id)


def _some_orders() -> None:
    now = page.freshness()
    rows = page.ask(queries.SOME_ORDERS, since=now.as_of - timedelta(days=2))
    st.info("Type an order id, or begin with one that has just moved:", icon=":material/route:")
    for row in rows:
        st.page_link(
            page.pages()["order_journey"],
            label=f"{row['order_id']} · {word(STATUSES, row['current_status'])} · "
            f"{at(row['last_event_at'])}",
            query_params={"order_id": row["order_id"]},
        )


@page.live(5)
def _order(order_id: str) -> None:
    found = page.ask_now(queries.ORDER, order_id=order_id)
    if not found:
        page.panel(
            "No such order",
            f"Nothing is known of `{order_id.replace('`', '')}`: no event that names it has come "
            "in, as of this second.",
            "Compare the id with the source, letter by letter: case counts. An order appears "
            "seconds after its first event; if its message was refused, Data health counts it "
            "among the dead letters.",
        )
        return
    order = found[0]
    events = page.ask_now(queries.ORDER_EVENTS, order_id=order_id)
    alerts = page.ask_now(queries.ORDER_ALERT, order_id=order_id)
    targets = {
        (row["stage"], row["priority"]): row["target_hours"] for row in page.ask(queries.TARGETS)
    }
    now = page.freshness()
    _summary(order)
    if order["is_open"]:
        for alert in alerts:
            _alert(alert)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.header("Timeline", anchor=False)
        st.html(_timeline(order, events, alerts, targets))
    with right:
        st.header("Waiting time per stage", anchor=False, help=page.explained("stage_hours"))
        st.table(_stages(order, targets, now.as_of), hide_index=True)
        _facts(order)
        _shipment(events)


def _summary(order: Row) -> None:
    with st.container(key="kpis-order"):
        st.metric("Status", word(STATUSES, order["current_status"]), border=True)
        st.metric("Priority", (order["priority"] or "—").capitalize(), border=True)
        st.metric(
            "Placed → shipped",
            hours(order["hours_placed_to_shipped"]),
            border=True,
            help=page.explained("placed_to_shipped"),
        )
        st.metric(
            "Placed → delivered",
            hours(order["hours_placed_to_delivered"]),
            border=True,
            help=page.explained("placed_to_delivered"),
        )


def _alert(alert: Row) -> None:
    st.warning(
        f"**{word(SEVERITIES, alert['severity'])}.** {alert['explanation']} "
        f"**Next:** {next_step(alert['alert_type'], alert['obstacle'], alert['stage'])}",
        icon=":material/notification_important:",
    )


def current_stage(order: Row) -> tuple[str, datetime] | None:
    """The stage that an open order is in and when it began; None where it is in none."""
    if not order["is_open"]:
        return None
    for stage, start in reversed(_STARTS.items()):
        if order[start] is not None:
            return stage, order[start]
    return None


def expected_next(
    order: Row, alerts: list[Row], targets: dict[tuple[str, str], float]
) -> tuple[str, datetime, str] | None:
    """What comes next, by when, and why by then; None where nothing is expected."""
    reached = current_stage(order)
    if reached is None:
        return None
    stage, began = reached
    if stage == "shipped_to_delivered" and order["promised_delivery_at"] is not None:
        return _NEXT[stage], order["promised_delivery_at"], "the carrier's promise"
    if alerts and alerts[0]["stage"] == stage:
        why = "the longer of the target and what 9 of 10 such orders take"
        return _NEXT[stage], alerts[0]["expected_by"], why
    target = targets.get((stage, order["priority"] or ""), targets.get((stage, "standard")))
    if target is None:
        return None
    return _NEXT[stage], began + timedelta(hours=float(target)), f"a target of {hours(target)}"


def _timeline(
    order: Row, events: list[Row], alerts: list[Row], targets: dict[tuple[str, str], float]
) -> str:
    items, before = [], None
    for event in events:
        bad = event["status"] in _BAD or event["event_type"] == "order_cancelled"
        name = word(EVENTS, event["event_type"])
        if event["status"]:
            name = f"{name}: {event['status'].replace('_', ' ')}"
        parts = []
        if event["reject_code"]:
            said = event["reject_description"] or "a code that is not in the list"
            acts = word(ACTORS, event["reject_actor"])
            parts.append(f"Code {event['reject_code']}: {said}. Has to act: {acts}.")
        if event["exception_code"]:
            parts.append(f"Exception {event['exception_code']}.")
        if event["carrier"] and event["event_type"] == "order_shipped":
            parts.append(
                f"By {event['carrier']}, promised for {at(event['promised_delivery_at'])}."
            )
        if event["temperature_c"] is not None:
            parts.append(f"{event['temperature_c']:.1f} °C.")
        if event["minutes_out_of_range"]:
            parts.append(f"{event['minutes_out_of_range']:.0f} min out of its temperature range.")
        if event["quality_flags"]:
            parts.append(f"Data: {event['quality_flags']}.")
        waited = "" if before is None else f"{in_words(_gap(before, event))} later · "
        source = word(SOURCES, event["source_system"])
        live = " · live" if event["is_live"] else ""
        items.append(
            f"<li class='{'bad' if bad else 'done'}'>"
            f"<span class='time'>{at(event['event_timestamp'])}</span><span class='dot'></span>"
            f"<div><span class='name'>{html.escape(name)}</span>"
            f"<div>{html.escape(' '.join(parts))}</div>"
            f"<div class='small'>{html.escape(waited + source + live)}</div></div></li>"
        )
        before = event
    expected = expected_next(order, alerts, targets)
    if expected is not None:
        name, by, why = expected
        items.append(
            f"<li class='next'><span class='time'>{at(by)}</span><span class='dot'></span>"
            f"<div><span class='name'>{name} expected by then</span>"
            f"<div class='small'>{html.escape(why)}</div></div></li>"
        )
    return f"<ol class='journey' aria-label='Timeline'>{''.join(items)}</ol>"


def _gap(before: Row, event: Row) -> float:
    return float((event["event_timestamp"] - before["event_timestamp"]).total_seconds())


def _stages(
    order: Row, targets: dict[tuple[str, str], float], as_of: datetime
) -> list[dict[str, str]]:
    reached = current_stage(order)
    rows = []
    for stage, label in STAGES.items():
        taken = order[f"hours_{stage}"]
        target = targets.get((stage, order["priority"] or ""), targets.get((stage, "standard")))
        said = hours(taken)
        if taken is None and reached is not None and reached[0] == stage:
            taken = max(0.0, (as_of - reached[1]).total_seconds() / 3600)
            said = f"{hours(taken)} so far"
        verdict = "—"
        if taken is not None and target is not None:
            verdict = "within" if float(taken) <= float(target) else "▲ over"
        rows.append(
            {"Stage": label, "Time": said, "Target": hours(target), "Against target": verdict}
        )
    return rows


def _facts(order: Row) -> None:
    st.header("Order", anchor=False)
    quantity = None if order["quantity"] is None else f"{order['quantity'].normalize():f} units"
    facts = {
        "Drug": " · ".join(one for one in (order["drug"], order["generic_name"]) if one),
        "Quantity": " · ".join(
            one
            for one in (quantity, order["days_supply"] and f"{order['days_supply']} days")
            if one
        ),
        "Payer": order["payer"],
        "Site": order["pharmacy"],
        "Carrier": order["carrier"],
        "Delivered to": order["state"],
        "Cold chain": {True: "Yes", False: "No", None: "—"}[order["cold_chain"]],
        "Rejections": str(order["rejection_count"] or 0),
        "Patient": short_key(order["patient_key"]),
        "Data quality": order["quality_flags"] or "nothing flagged",
    }
    st.table(
        [{"": name, "Value": value or "—"} for name, value in facts.items()],
        hide_index=True,
        hide_header=True,
    )


def _shipment(events: list[Row]) -> None:
    read = [one for one in events if one["temperature_c"] is not None]
    if not read:
        return
    st.header("Temperature at the scans", anchor=False)
    st.altair_chart(
        charts.temperatures(read),
        width="stretch",
        alt="Temperatures: " + ", ".join(f"{one['temperature_c']:.1f} °C" for one in read),
    )
