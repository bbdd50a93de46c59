"""The charts, in colours that the colour-blind can tell apart, on light and on dark."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import altair as alt
import pandas as pd

from dashboards.warehouse import Row

# Okabe and Ito, 2008, a little darker or lighter where both backgrounds ask for it
BLUE: Final = "#1f83c4"
ORANGE: Final = "#e69f00"
GREEN: Final = "#0b9e76"
RED: Final = "#d55e00"
PINK: Final = "#cc79a7"
SKY: Final = "#56b4e9"
GREY: Final = "#8796a5"

HEIGHT: Final = 240


def frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows for a chart: decimals as floats."""
    table = pd.DataFrame(rows)
    for column in table.columns:
        if table[column].dtype == object:
            as_numbers = pd.to_numeric(table[column], errors="coerce")
            if as_numbers.notna().equals(table[column].notna()):
                table[column] = as_numbers
    return table


def activity(rows: Sequence[Row], since: datetime, until: datetime) -> Any:  # noqa: ANN401  Altair types its charts as Any
    """Events by minute: what is built, and on top of it what is live."""
    table = frame(rows)
    table["layer"] = table["is_live"].map({False: "Built", True: "Live"})
    return (
        alt.Chart(table)
        .mark_bar(size=7)
        .encode(
            x=alt.X("window_start:T", title=None)
            .axis(format="%H:%M", tickCount=7, grid=False)
            .scale(type="utc", domain=[_instant(since), _instant(until)], padding=6),
            y=alt.Y("sum(event_count):Q", title="events a minute")
            .axis(tickCount=4)
            .scale(type="symlog" if is_uneven(rows) else "linear"),
            color=alt.Color("layer:N", title=None)
            .scale(domain=["Built", "Live"], range=[BLUE, ORANGE])
            .legend(orient="top", symbolType="square"),
            order=alt.Order("layer:N"),
            tooltip=[
                alt.Tooltip("window_start:T", title="minute (UTC)", format="%d %b %H:%M"),
                alt.Tooltip("layer:N", title="layer"),
                alt.Tooltip("sum(event_count):Q", title="events", format=","),
            ],
        )
        .properties(height=HEIGHT)
    )


def is_uneven(rows: Sequence[Row]) -> bool:
    """Whether one minute is so busy, as after a backfill, that the others would not be seen."""
    minutes: dict[datetime, int] = {}
    for row in rows:
        minutes[row["window_start"]] = minutes.get(row["window_start"], 0) + row["event_count"]
    counts = sorted(minutes.values())
    return bool(counts) and counts[-1] > 50 * max(1, counts[len(counts) // 2])


def _instant(moment: datetime) -> alt.DateTime:
    return alt.DateTime(
        year=moment.year,
        month=moment.month,
        date=moment.day,
        hours=moment.hour,
        minutes=moment.minute,
        utc=True,
    )


def bars(
    table: pd.DataFrame,
    value: str,
    category: str,
    *,
    label: str,
    color: str = BLUE,
    height: int | None = None,
) -> Any:  # noqa: ANN401  a layered chart
    """Horizontal bars with their numbers, in the table's own order."""
    base = alt.Chart(table).encode(
        y=alt.Y(f"{category}:N", sort=None, title=None).axis(
            labelLimit=210, ticks=False, domain=False
        ),
        x=alt.X(f"{value}:Q", title=None).axis(None).scale(padding=0),
        tooltip=[
            alt.Tooltip(f"{category}:N", title=" "),
            alt.Tooltip(f"{value}:Q", title=label, format=","),
        ],
    )
    return (
        base.mark_bar(color=color, cornerRadiusEnd=3, height={"band": 0.72})
        + base.mark_text(align="left", dx=5, color=GREY, fontWeight="bold").encode(
            text=alt.Text(f"{value}:Q", format=",")
        )
    ).properties(height=height or max(70, 27 * len(table)))


def stage_hours(rows: Sequence[Row], target: float) -> Any:  # noqa: ANN401  a layered chart
    """The median and the 90th percentile of one stage by day, and its target as a line."""
    table = frame(rows).melt(
        id_vars=["stage_date"],
        value_vars=["p50_hours", "p90_hours"],
        var_name="percentile",
        value_name="hours",
    )
    table["percentile"] = table["percentile"].map(
        {"p50_hours": "Median", "p90_hours": "90th percentile"}
    )
    lines = (
        alt.Chart(table)
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=2)
        .encode(
            x=alt.X("stage_date:T", title=None).axis(format="%d %b", tickCount=4, grid=False),
            y=alt.Y("hours:Q", title="hours").axis(tickCount=4),
            color=alt.Color("percentile:N", title=None)
            .scale(domain=["Median", "90th percentile"], range=[BLUE, ORANGE])
            .legend(None),
            strokeDash=alt.StrokeDash("percentile:N", legend=None).scale(
                domain=["Median", "90th percentile"], range=[[1, 0], [5, 3]]
            ),
            tooltip=[
                alt.Tooltip("stage_date:T", title="began on", format="%d %b"),
                alt.Tooltip("percentile:N", title=" "),
                alt.Tooltip("hours:Q", format=".1f"),
            ],
        )
    )
    line = (
        alt.Chart({"values": [{"target": target}]})
        .mark_rule(color=RED, strokeWidth=1.5)
        .encode(y="target:Q", tooltip=[alt.Tooltip("target:Q", title="target, hours")])
    )
    return (line + lines).properties(height=170)


def stacked_ages(table: pd.DataFrame, ages: dict[str, str], statuses: list[str]) -> Any:  # noqa: ANN401
    """Open orders by status, coloured by how long nothing has happened."""
    long = table.melt(
        id_vars=["status"], value_vars=list(ages), var_name="age", value_name="orders"
    )
    long["rank"] = long["age"].map({name: place for place, name in enumerate(ages)})
    long["age"] = long["age"].map(ages)
    return (
        alt.Chart(long[long["orders"] > 0])
        .mark_bar(height={"band": 0.72})
        .encode(
            y=alt.Y("status:N", sort=statuses, title=None).axis(
                labelLimit=180, ticks=False, domain=False
            ),
            x=alt.X("orders:Q", title="open orders").axis(tickCount=5, format="d"),
            color=alt.Color("age:N", title=None, sort=list(ages.values()))
            .scale(domain=list(ages.values()), range=["#9ecae1", BLUE, ORANGE, RED])
            .legend(orient="bottom", columns=4),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("status:N"),
                alt.Tooltip("age:N", title="nothing for"),
                alt.Tooltip("orders:Q", format=","),
            ],
        )
        .properties(height=max(120, 30 * len(statuses) + 40))
    )


def on_time(table: pd.DataFrame) -> Any:  # noqa: ANN401  a layered chart
    """Each carrier's on-time rate as a dot, its published rate as a tick."""
    base = alt.Chart(table).encode(
        y=alt.Y("carrier:N", sort=None, title=None).axis(
            labelLimit=180, ticks=False, domain=False, labelOverlap=False
        )
    )
    scale = alt.Scale(domain=[min(0.9, float(table["low"].min()) - 0.01), 1.0], zero=False)
    tooltip = [
        alt.Tooltip("carrier:N"),
        alt.Tooltip("rate:Q", title="on time", format=".1%"),
        alt.Tooltip("published_on_time_rate:Q", title="published", format=".1%"),
        alt.Tooltip("delivered:Q", title="deliveries", format=","),
    ]
    return (
        base.mark_rule(strokeWidth=2, color=GREY, opacity=0.5).encode(
            x=alt.X("low:Q", scale=scale), x2="high:Q"
        )
        + base.mark_point(filled=True, shape="circle", size=110, color=BLUE, opacity=1).encode(
            x=alt.X("rate:Q", title="share delivered on time", scale=scale).axis(
                format=".0%", tickCount=5
            ),
            tooltip=tooltip,
        )
        + base.mark_tick(thickness=3, size=20, color=ORANGE).encode(
            x=alt.X("published_on_time_rate:Q", scale=scale), tooltip=tooltip
        )
    ).properties(height=30 * len(table) + 60)


def score_over_time(table: pd.DataFrame, value: str, axis: str, text: str) -> Any:  # noqa: ANN401
    """A score by day, with the band in which it lies with 95 % confidence."""
    base = alt.Chart(table).encode(
        x=alt.X("response_date:T", title=None).axis(format="%d %b", tickCount=6, grid=False)
    )
    scale = alt.Scale(zero=False, nice=True)
    tooltip = [
        alt.Tooltip("response_date:T", title="window ends", format="%d %b %Y"),
        alt.Tooltip(f"{value}:Q", title=axis, format=text),
        alt.Tooltip(f"{value}_low:Q", title="from", format=text),
        alt.Tooltip(f"{value}_high:Q", title="to", format=text),
        alt.Tooltip("response_count:Q", title="answers", format=","),
    ]
    return (
        base.mark_area(color=BLUE, opacity=0.18).encode(
            y=alt.Y(f"{value}_low:Q", title=axis, scale=scale).axis(format=text, tickCount=5),
            y2=f"{value}_high:Q",
        )
        + base.mark_line(color=BLUE, strokeWidth=2, point=alt.OverlayMarkDef(size=24, color=BLUE))
        .encode(y=alt.Y(f"{value}:Q", scale=scale), tooltip=tooltip)
    ).properties(height=HEIGHT)  # fmt: skip


def scores(table: pd.DataFrame, overall: float | None) -> Any:  # noqa: ANN401  a layered chart
    """The score of each cell with its confidence interval; the score of all as a line."""
    base = alt.Chart(table).encode(
        y=alt.Y("name:N", sort=None, title=None).axis(
            labelLimit=190, ticks=False, domain=False, labelOverlap=False
        )
    )
    scale = alt.Scale(domain=[-100, 100])
    tooltip = [
        alt.Tooltip("name:N", title=" "),
        alt.Tooltip("net_promoter_score:Q", title="NPS", format=".0f"),
        alt.Tooltip("net_promoter_score_low:Q", title="from", format=".0f"),
        alt.Tooltip("net_promoter_score_high:Q", title="to", format=".0f"),
        alt.Tooltip("response_count:Q", title="answers", format=","),
    ]
    layers = base.mark_rule(color=GREY, strokeWidth=2).encode(
        x=alt.X("net_promoter_score_low:Q", title="net promoter score", scale=scale).axis(
            tickCount=5
        ),
        x2="net_promoter_score_high:Q",
    ) + base.mark_point(filled=True, size=110, color=BLUE, opacity=1).encode(
        x=alt.X("net_promoter_score:Q", scale=scale), tooltip=tooltip
    )
    if overall is not None:
        layers = (
            alt.Chart({"values": [{"all": overall}]})
            .mark_rule(color=ORANGE, strokeDash=[4, 3], strokeWidth=1.5)
            .encode(x=alt.X("all:Q", scale=scale))
            + layers
        )
    return layers.properties(height=24 * len(table) + 70)


def temperatures(rows: Sequence[Row]) -> Any:  # noqa: ANN401  Altair types its charts as Any
    """The temperature at each scan."""
    table = frame(
        [{name: row[name] for name in ("event_timestamp", "temperature_c")} for row in rows]
    )
    return (
        alt.Chart(table)
        .mark_line(color=BLUE, point=alt.OverlayMarkDef(size=40, color=BLUE))
        .encode(
            x=alt.X("event_timestamp:T", title=None, scale=alt.Scale(type="utc")).axis(
                format="%d %b %H:%M", tickCount=4, grid=False
            ),
            y=alt.Y("temperature_c:Q", title="°C").axis(tickCount=4),
            tooltip=[
                alt.Tooltip("event_timestamp:T", title="at (UTC)", format="%d %b %H:%M"),
                alt.Tooltip("temperature_c:Q", title="°C", format=".1f"),
            ],
        )
        .properties(height=170)
    )


def hours_of_messages(rows: Sequence[Row]) -> Any:  # noqa: ANN401  Altair types its charts as Any
    """Messages by hour of publishing: what became of them."""
    table = frame(rows)
    table["new"] = table["accepted_count"] - table["duplicate_count"]
    names = {"new": "New", "duplicate_count": "Duplicate", "dead_letter_count": "Dead letter"}
    long = table.melt(
        id_vars=["publish_hour"], value_vars=list(names), var_name="fate", value_name="messages"
    )
    long["fate"] = long["fate"].map(names)
    return (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("utcyearmonthdatehours(publish_hour):O", title=None).axis(
                format="%d %b %H:%M", labelAngle=0, labelOverlap=True
            ),
            y=alt.Y("sum(messages):Q", title="messages an hour").axis(tickCount=4),
            color=alt.Color("fate:N", title=None)
            .scale(domain=list(names.values()), range=[BLUE, SKY, RED])
            .legend(orient="top"),
            tooltip=[
                alt.Tooltip("publish_hour:T", title="hour (UTC)", format="%d %b %H:%M"),
                alt.Tooltip("fate:N", title=" "),
                alt.Tooltip("sum(messages):Q", title="messages", format=","),
            ],
        )
        .properties(height=HEIGHT)
    )
