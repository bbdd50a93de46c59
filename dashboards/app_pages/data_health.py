"""Data health: whether the numbers can be believed."""

from datetime import timedelta

import streamlit as st

from dashboards import charts, page, queries
from dashboards.freshness import in_words
from dashboards.words import at

_HOURS = 72
_DAYS = 7
_TO_DO = {
    "not_utf8": "the source's encoding",
    "not_json": "what the source sends: no JSON",
    "not_an_object": "what the source sends: no object",
    "unsupported_text": "text that no warehouse can hold",
    "missing_field": "the envelope: a field is missing",
    "invalid_field": "the envelope: a type or a length",
    "unknown_event_type": "the source's version of the contract",
    "invalid_timestamp": "the source's clock and its format",
    "refused_by_warehouse": "the warehouse's log",
}


def show() -> None:
    """The page."""
    page.title("Data health", "Whether the numbers of the other pages can be believed.")
    if page.is_empty():
        return
    _freshness()
    left, right = st.columns([1, 1], gap="medium")
    with left:
        _reconciliation()
    with right:
        _dead_letters()
    _build()


@page.live(5)
def _freshness() -> None:
    now = page.freshness()
    with st.container(key="kpis-health"):
        st.metric(
            "Newest message",
            f"{in_words(now.silence)} ago",
            border=True,
            help="Now, less the newest `ingested_at` of bronze, from "
            "`serving_status.last_ingested_at`.",
        )
        st.metric(
            "Built and tested up to",
            f"{in_words(now.batch_age)} ago",
            border=True,
            help=page.explained("freshness"),
        )
        st.metric(
            "Waiting for the next build",
            f"{now.waiting:,}",
            border=True,
            help="Messages in bronze after the serving watermark: pages show them live.",
        )
        st.metric(
            "Hours that differ",
            f"{now.hours_differing:,} of {now.hours_compared:,}",
            border=True,
            help=page.explained("layers_difference"),
        )


@page.live(10)
def _reconciliation() -> None:
    st.header(
        "Messages by hour of publishing", anchor=False, help=page.explained("layers_difference")
    )
    rows = page.ask(queries.RECONCILIATION, most=_HOURS)
    if not rows:
        page.nothing("No hour has been reconciled: run `pbm build`.")
        return
    accepted = sum(row["accepted_count"] for row in rows)
    differing = [row for row in rows if row["difference"]]
    st.caption(
        f"The last hours with messages, {len(rows)}: {accepted:,} accepted, "
        f"{sum(row['duplicate_count'] for row in rows):,} of them duplicates; "
        f"{sum(row['dead_letter_count'] for row in rows):,} dead letters. "
        + (
            f"**In {len(differing)} hours batch and speed differ.**"
            if differing
            else "Batch and speed count the same in every one."
        )
    )
    st.altair_chart(
        charts.hours_of_messages(rows),
        width="stretch",
        alt=f"Messages by hour: {accepted} accepted in the last {len(rows)} hours.",
    )
    with st.expander("The hours as a table"):
        st.dataframe(
            charts.frame(rows),
            hide_index=True,
            alt="Reconciliation by hour of publishing",
            column_config={
                "publish_hour": st.column_config.DatetimeColumn(
                    "Hour (UTC)", format="DD MMM HH:mm", timezone="UTC"
                ),
                "accepted_count": "Accepted",
                "dead_letter_count": "Dead letters",
                "duplicate_count": "Duplicates",
                "speed_event_count": "Speed layer",
                "batch_event_count": "Batch",
                "difference": "Difference",
            },
        )


@page.live(10)
def _dead_letters() -> None:
    now = page.freshness()
    st.header("Dead letters, 7 days", anchor=False, help=page.explained("dead_letters"))
    rows = page.ask_now(
        queries.DEAD_LETTERS,
        since=(now.observed_at - timedelta(days=_DAYS)).replace(minute=0, second=0, microsecond=0),
    )
    if not rows:
        page.nothing("No message was refused in seven days.")
        return
    total = sum(row["dead_letter_count"] for row in rows)
    waiting = sum(row["waiting_count"] for row in rows)
    st.caption(
        f"{total:,} refused, {waiting:,} not sent again. Once the cause is gone: "
        "`pbm dead-letters replay --reason …`"
    )
    st.table(
        [
            {
                "Reason": row["error_type"],
                "Refused": f"{row['dead_letter_count']:,}",
                "Waiting": f"{row['waiting_count']:,}",
                "Look at": _TO_DO.get(row["error_type"], "The message in bronze"),
            }
            for row in rows
        ],
        hide_index=True,
    )


@page.live(10)
def _build() -> None:
    st.header("The last build and its tests", anchor=False)
    began = page.ask(queries.BUILD_RUN)[0]["run_started_at"]
    if began is None:
        page.nothing("No build has been recorded: run `pbm build`.")
        return
    # one build may be several runs of dbt, as an orchestrator starts them
    since = began - timedelta(hours=1)
    rows = page.ask(queries.BUILD, since=since)
    count = {(row["resource_type"], row["result"]): row["node_count"] for row in rows}
    passed = sum(n for (_, result), n in count.items() if result in {"pass", "success"})
    total = sum(count.values())
    tests = sum(n for (kind, _), n in count.items() if kind in {"test", "unit_test"})
    good_tests = sum(
        n
        for (kind, result), n in count.items()
        if kind in {"test", "unit_test"} and result == "pass"
    )
    with st.container(key="kpis-build"):
        st.metric("Last run of dbt", at(began), border=True)
        st.metric("Tests that passed", f"{good_tests:,} of {tests:,}", border=True)
        st.metric("Tables and seeds built", f"{passed - good_tests:,}", border=True)
        st.metric("Not passed", f"{total - passed:,}", border=True)
    trouble = page.ask(queries.BUILD_TROUBLE, since=since)
    if not trouble:
        st.success(
            "Everything that ran in the last hour of building passed.", icon=":material/verified:"
        )
        return
    st.table(
        [
            {
                "What": row["node"],
                "Kind": row["resource_type"].replace("_", " "),
                "Of": row["tested"] or "—",
                "Ended": row["result"],
                "Rows wrong": "—" if row["failure_count"] is None else f"{row['failure_count']:,}",
            }
            for row in trouble
        ],
        hide_index=True,
    )
