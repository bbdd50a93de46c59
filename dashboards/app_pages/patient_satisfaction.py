"""Patient satisfaction: what patients say, how sure that is, and what moves the score."""

from typing import Any

import streamlit as st

from dashboards import charts, page, queries
from dashboards.warehouse import Row
from dashboards.words import percent

_WINDOWS = ("28", "90", "1")
_DIMENSIONS = {
    "lateness": "By lateness of the delivery",
    "intervention": "By intervention",
    "carrier": "By carrier",
    "drug_area": "By drug area",
}
_FEW = "1 to 10 answers"


def show() -> None:
    """The page."""
    page.title(
        "Patient satisfaction",
        "What patients answer after a delivery, how sure that is, and what moves the score.",
    )
    if page.is_empty():
        return
    window = st.segmented_control(
        "Days of answers, up to each day",
        list(_WINDOWS),
        default="28",
        required=True,
        key="window",
        bind="query-params",
    )
    with page.told():
        _parts(int(window or 28))


def _parts(window: int) -> None:
    days = page.ask(queries.SATISFACTION_DAYS, window_days=window)
    if not days:
        page.panel(
            "No survey has been answered yet",
            "There is no answer in the warehouse, so there is no score.",
            "Locally: `pbm generate surveys`, then `pbm build --select tag:survey`.",
        )
        return
    latest = days[0]
    _figures(latest, window)
    left, right = st.columns(2, gap="medium")
    shown = [row for row in days if not row["is_suppressed"] and row["response_count"]]
    hidden = sum(bool(row["is_suppressed"]) for row in days)
    with left:
        _over_time(shown, "net_promoter_score", "Net promoter score", "net_promoter_score", ".0f")
    with right:
        _over_time(shown, "satisfied_rate", "Satisfied patients (CSAT)", "csat", ".0%")
    st.caption(
        "The band is the interval of 95 % confidence. "
        + (f"Days hidden, with {_FEW}: {hidden:,}." if hidden else "No day is hidden.")
    )
    cells = page.ask(
        queries.SATISFACTION_CELLS, window_days=window, response_date=latest["response_date"]
    )
    overall = None if latest["net_promoter_score"] is None else float(latest["net_promoter_score"])
    _what_moves_it(cells, overall)
    columns = st.columns(2, gap="medium")
    for dimension, label in _DIMENSIONS.items():
        # by drug area there are as many as by all the others
        with columns[dimension == "drug_area"]:
            _cells([row for row in cells if row["dimension"] == dimension], label, overall)


def _figures(latest: Row, window: int) -> None:
    with st.container(key="kpis-satisfaction"):
        st.metric(
            "Net promoter score",
            _score(latest["net_promoter_score"]),
            border=True,
            delta=_between(latest, "net_promoter_score", _score),
            delta_color="off",
            delta_arrow="off",
            help=page.explained("net_promoter_score"),
        )
        st.metric(
            "Satisfied (CSAT)",
            percent(latest["satisfied_rate"]),
            border=True,
            delta=_between(latest, "satisfied_rate", percent),
            delta_color="off",
            delta_arrow="off",
            help=page.explained("csat"),
        )
        count = latest["response_count"]
        st.metric(
            "Answers",
            "hidden" if count is None else f"{count:,}",
            border=True,
            delta=f"{window} days up to {latest['response_date']:%d %b}",
            delta_color="off",
            delta_arrow="off",
        )
        st.metric(
            "Response rate",
            percent(latest["response_rate"]),
            border=True,
            delta="the latest still rises",
            delta_color="off",
            delta_arrow="off",
            help=page.explained("response_rate"),
        )


def _score(value: Any) -> str:  # noqa: ANN401  a decimal, or nothing
    return "—" if value is None else f"{float(value):.0f}"


def _between(row: Row, column: str, text: Any) -> str:  # noqa: ANN401  how to write a number
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return "no interval" if low is None else f"{text(low)} to {text(high)} with 95 %"


def _over_time(rows: list[Row], column: str, label: str, metric: str, text: str) -> None:
    st.header(label, anchor=False, help=page.explained(metric))
    if not rows:
        page.nothing(f"Every window is hidden: each has {_FEW}. Choose a longer one.")
        return
    st.altair_chart(
        charts.score_over_time(charts.frame(rows), column, label, text),
        width="stretch",
        alt=f"{label} by day, with its confidence interval; {len(rows)} days.",
    )


def _what_moves_it(cells: list[Row], overall: float | None) -> None:
    st.header("What moves the score", anchor=False)
    gaps = [
        (float(row["net_promoter_score"]) - overall, row)
        for row in cells
        if overall is not None and row["net_promoter_score"] is not None
    ]
    # where the interval holds the score of all, chance is an explanation
    sure = [
        (gap, row)
        for gap, row in gaps
        if not float(row["net_promoter_score_low"])
        <= (overall or 0.0)
        <= float(row["net_promoter_score_high"])
    ]
    if not sure:
        page.nothing(
            "No group differs from all patients by more than chance may explain. A longer window "
            "has more answers."
        )
        return
    st.caption(
        "Groups whose interval does not hold the score of all patients. What goes together is not "
        "yet what causes it."
    )
    st.table(
        [
            {
                "Group": name_of(row),
                "Split": _DIMENSIONS[row["dimension"]].removeprefix("By ").capitalize(),
                "NPS": _score(row["net_promoter_score"]),
                "Against all": f"{gap:+.0f}",
                "Answers": f"{row['response_count']:,}",
            }
            for gap, row in sorted(sure, key=lambda one: one[0])
        ],
        hide_index=True,
    )


def name_of(row: Row) -> str:
    """A cell's value in words."""
    said = str(row["dimension_value"]).replace("_", " ")
    return said[:1].upper() + said[1:]


def _cells(rows: list[Row], label: str, overall: float | None) -> None:
    st.header(label, anchor=False)
    shown = [row for row in rows if row["net_promoter_score"] is not None]
    hidden = [name_of(row) for row in rows if row["is_suppressed"]]
    if shown:
        table = charts.frame([{**row, "name": name_of(row)} for row in shown])
        st.altair_chart(
            charts.scores(table, overall),
            width="stretch",
            alt=f"{label}: "
            + ", ".join(f"{name_of(row)} {_score(row['net_promoter_score'])}" for row in shown),
        )
    else:
        page.nothing(f"Every group is hidden: each has {_FEW}, or would give one away.")
    if hidden:
        st.caption(
            f"Hidden, because they have {_FEW} or would give such a group away: "
            f"{', '.join(hidden)}."
        )
