"""What all pages share: numbers, the strip of truth, explanations, and what to do without data."""

import functools
import html
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import streamlit as st

from dashboards import access, manifest, metrics, queries
from dashboards.freshness import Freshness, in_words
from dashboards.queries import Query
from dashboards.warehouse import (
    BigQueryWarehouse,
    NotBuiltError,
    NoWarehouseError,
    PostgresWarehouse,
    Row,
    Value,
    Warehouse,
)
from dashboards.words import at
from pbm.errors import PbmError, ServiceError
from pbm.settings import Settings, load_settings
from pbm.stack import Stack

LIVE_SECONDS: Final = 3
"""How often what is live asks again."""
STRIP_SECONDS: Final = 5
"""How often the strip does."""
# An answer is shared by all sessions for so long.
_SECONDS_SHARED: Final = {"live": 2, "slow": 30}

Kind = Literal["ok", "warn", "bad", "none"]
_SIGNS: Final[Mapping[Kind, str]] = {"ok": "●", "warn": "▲", "bad": "■", "none": "○"}


# ------------------------------------------------------------------------------------- numbers


def settings() -> Settings:
    """The platform's settings."""
    return load_settings()


def warehouse() -> Warehouse:
    """The warehouse, one for all sessions.

    Raises:
        NoWarehouseError: There is no local stack, and no PostgreSQL is named.
    """
    if settings().on_google_cloud:
        return _bigquery()
    try:
        dsn = Stack(settings()).dashboard_dsn()
    except ServiceError as error:
        raise NoWarehouseError(error.problem, error.hint) from None
    return _postgres(dsn, settings().schema_prefix or "")


@st.cache_resource(show_spinner=False)
def _bigquery() -> BigQueryWarehouse:
    return BigQueryWarehouse(load_settings())


@st.cache_resource(show_spinner=False, on_release=PostgresWarehouse.close)
def _postgres(dsn: str, prefix: str) -> PostgresWarehouse:
    return PostgresWarehouse(dsn, prefix)


def ask(query: Query, **parameters: Value) -> list[Row]:
    """The rows of a query, no older than half a minute.

    Raises:
        DataError: They cannot be had.
    """
    return _slow(warehouse(), _place(), query.name, query.sql, parameters)


def ask_now(query: Query, **parameters: Value) -> list[Row]:
    """The rows of a query, no older than two seconds.

    Raises:
        DataError: They cannot be had.
    """
    return _live(warehouse(), _place(), query.name, query.sql, parameters)


def _place() -> str:
    one = warehouse()
    return one.dsn if isinstance(one, PostgresWarehouse) else one.name


def _answer(
    _warehouse: Warehouse, _place: str, name: str, sql: str, parameters: Mapping[str, Value]
) -> list[Row]:
    return _warehouse.rows(Query(name, sql, dict.fromkeys(parameters, "")), parameters)


@st.cache_data(ttl=_SECONDS_SHARED["slow"], max_entries=500, show_spinner=False)
def _slow(
    _warehouse: Warehouse, place: object, name: str, sql: str, parameters: Mapping[str, Value]
) -> list[Row]:
    return _answer(_warehouse, str(place), name, sql, parameters)


@st.cache_data(ttl=_SECONDS_SHARED["live"], max_entries=500, show_spinner=False)
def _live(
    _warehouse: Warehouse, place: object, name: str, sql: str, parameters: Mapping[str, Value]
) -> list[Row]:
    return _answer(_warehouse, str(place), name, sql, parameters)


def freshness() -> Freshness:
    """How fresh everything is now.

    Raises:
        NotBuiltError: The warehouse has no row of it.
        DataError: It cannot be had.
    """
    rows = ask_now(queries.STATUS)
    return Freshness.of(rows[0])


# -------------------------------------------------------------------------------- explanations


@st.cache_resource(show_spinner=False)
def _metrics(path: str, changed_at: float) -> dict[str, metrics.Metric]:
    del changed_at  # another one is another manifest
    return metrics.read(Path(path))


def explanations() -> dict[str, metrics.Metric]:
    """Every metric by its name; empty while there is no manifest."""
    path = manifest.path_of(settings())
    return _metrics(str(path), path.stat().st_mtime if path.exists() else 0.0)


def explained(name: str) -> str:
    """The tooltip of a metric, from dbt's own doc block."""
    metric = explanations().get(name)
    if metric is None:
        return "dbt's manifest, which explains it, is not there: see the foot of the page."
    return metric.help


# ----------------------------------------------------------------------------------- failures


@contextmanager
def told() -> Iterator[None]:
    """Instead of an error, say what is missing and what to do."""
    try:
        yield
    except NoWarehouseError as error:
        panel("The warehouse does not answer", error.problem, error.hint)
    except NotBuiltError as error:
        panel(
            "The warehouse is not built, or only half of it",
            error.problem,
            f"{error.hint} A build that failed says at its end what is wrong.",
        )
    except PbmError as error:
        panel("These numbers cannot be had now", error.problem, error.hint)


def panel(title: str, what: str, to_do: str) -> None:
    """A page's, or a part's, place when there is nothing to show."""
    with st.container(border=True):
        st.markdown(f"**{title}**")
        st.markdown(what)
        st.markdown(f"**What to do:** {to_do}")


def nothing(text: str) -> None:
    """A part without rows: why, and what to do."""
    st.info(text, icon=":material/filter_alt_off:")


def live(seconds: float = LIVE_SECONDS) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a part of a page ask again by itself, so that the rest stays as it is.

    Args:
        seconds: How often.
    """

    def decorated(part: Callable[..., None]) -> Callable[..., None]:
        @st.fragment(run_every=seconds)
        @functools.wraps(part)
        def guarded(*arguments: Any, **named: Any) -> None:  # noqa: ANN401  whatever the part takes
            with told():
                part(*arguments, **named)

        return guarded

    return decorated


# -------------------------------------------------------------------------- the strip of truth


@live(STRIP_SECONDS)
def strip() -> None:
    """The strip on top of every page, from data and nothing else."""
    now = freshness()
    quiet = settings().dashboard_quiet_seconds
    silent = now.is_silent(quiet)
    cells = [
        _cell(
            "stream",
            "Stream",
            "Silent" if silent else "Live",
            "bad" if silent else "ok",
            f"last message {in_words(now.silence)} ago",
        ),
        _cell(
            "last-event",
            "Last event",
            f"{in_words(_age(now))} ago",
            "none",
            f"{at(now.last_event_at)} UTC",
        ),
        _cell(
            "lag",
            "Lag",
            in_words(now.lag),
            "ok" if (now.lag or 0) <= 10 else "warn",
            "from publishing to bronze",
        ),
        _cell(
            "batch",
            "Last batch",
            "none yet" if now.batch_age is None else f"{in_words(now.batch_age)} ago",
            "ok" if now.batch_age is not None and now.batch_age <= 6 * 3600 else "warn",
            f"{now.waiting:,} messages since",
        ),
        _cell(
            "layers",
            "Batch and speed",
            "Agree" if not now.hours_differing else "Differ",
            "none" if not now.hours_compared else "bad" if now.hours_differing else "ok",
            f"in {now.hours_compared - now.hours_differing:,} of {now.hours_compared:,} hours",
        ),
        _cell(
            "dead-letters",
            "Dead letters",
            f"{now.dead_letters:,}",
            "warn" if now.dead_letters else "ok",
            "in the last hour",
        ),
    ]
    label = "How true this page is"
    st.html(f"<section class='strip' aria-label='{label}'>{''.join(cells)}</section>")
    with st.container(key="silence"):
        if silent:
            st.warning(
                f"**No message for {in_words(now.silence)}: the stream has stopped, or nothing "
                f"happens.** The page goes on with what it has, as of {at(now.as_of)} UTC. "
                "Locally, start ingestion with `pbm ingest --follow`; in production, look at the "
                "Dataflow job.",
                icon=":material/sensors_off:",
            )


def _age(now: Freshness) -> float | None:
    if now.last_event_at is None:
        return None
    return max(0.0, (now.observed_at - now.last_event_at).total_seconds())


def _cell(name: str, label: str, value: str, kind: Kind, note: str) -> str:
    return (
        f"<div class='cell {kind}' data-figure='{name}'><span class='label'>{html.escape(label)}"
        f"</span><span class='value'><span class='sign' aria-hidden='true'>{_SIGNS[kind]}</span> "
        f"{html.escape(value)}</span><span class='note'>{html.escape(note)}</span></div>"
    )


def is_empty() -> bool:
    """Whether nothing has come in yet; says what to do then."""
    now = freshness()
    if now.last_ingested_at is None:
        panel(
            "No event has come in yet",
            "Bronze is empty, so there is nothing to show.",
            "Locally: `pbm generate orders --orders 500 --to pubsub`, "
            "`pbm ingest --from pubsub --drain`, `pbm build`; or all of it at once, and live, "
            "with `make live`. In production: look at the subscription and the Dataflow job.",
        )
        return True
    if now.last_batch_at is None:
        panel(
            "Events have come in, and no build has passed yet",
            f"{now.waiting:,} messages wait in bronze. What a build makes of them is missing here.",
            "Run `pbm build`. If it fails, Data health names the tests that did not pass.",
        )
    return False


# -------------------------------------------------------------------------------------- layout


def remember(pages: Mapping[str, Any]) -> None:
    """Keep the pages of this run, for links between them."""
    st.session_state["_pages"] = dict(pages)


def pages() -> Mapping[str, Any]:
    """The pages that this session sees, by their paths."""
    kept: Mapping[str, Any] = st.session_state.get("_pages", {})
    return kept


def style() -> None:
    """The little that Streamlit's theme cannot say."""
    dark = st.context.theme.type == "dark"
    colours = _DARK if dark else _LIGHT
    variables = "".join(f"--pbm-{name}:{value};" for name, value in colours.items())
    st.html(f"<style>:root{{{variables}}}{_CSS}</style>")


_LIGHT: Final = {
    "ok": "#00674b",
    "warn": "#8a5200",
    "bad": "#a83c00",
    "muted": "#51606e",
    "line": "#d5dde5",
    "soft": "#f3f6f9",
    "accent": "#005a8f",
    "critical": "#a83c00",
    "late": "#8a5200",
    "warning": "#005a8f",
}
_DARK: Final = {
    "ok": "#4fd1a5",
    "warn": "#f0b840",
    "bad": "#ff9d6b",
    "muted": "#a9b8c6",
    "line": "#2c3a47",
    "soft": "#18222c",
    "accent": "#8cc8f6",
    "critical": "#ff9d6b",
    "late": "#f0b840",
    "warning": "#8cc8f6",
}
_CSS: Final = """
h1{margin-top:.4rem}
.block-container{padding-top:4.2rem;padding-bottom:3rem;max-width:1440px}
.strip{display:grid;grid-template-columns:repeat(6,minmax(0,1fr));gap:1px;overflow:hidden;
  background:var(--pbm-line);border:1px solid var(--pbm-line);border-radius:.5rem}
.strip .cell{background:var(--pbm-soft);padding:.5rem .75rem;display:flex;flex-direction:column;
  min-width:0}
.strip .label{font-size:.72rem;color:var(--pbm-muted);letter-spacing:.02em}
.strip .value{font-size:1rem;font-weight:600;white-space:nowrap;font-variant-numeric:tabular-nums}
.strip .note{font-size:.72rem;color:var(--pbm-muted);white-space:nowrap;overflow:hidden;
  text-overflow:ellipsis;font-variant-numeric:tabular-nums}
.strip .sign{font-size:.7em;vertical-align:.1em}
.strip .none .sign{display:none}
.strip .ok .sign{color:var(--pbm-ok)} .strip .warn .sign{color:var(--pbm-warn)}
.strip .bad .sign,.strip .bad .value{color:var(--pbm-bad)}
[data-testid="stCaptionContainer"],[data-testid="stCaptionContainer"] p{
  color:var(--pbm-muted)!important;opacity:1!important}
[class*="st-key-kpis"]{display:grid!important;gap:.75rem;
  grid-template-columns:repeat(4,minmax(0,1fr))}
[class*="st-key-kpis"] [data-testid="stMetricValue"]{font-variant-numeric:tabular-nums}
.pbm-as-of{color:var(--pbm-muted);font-size:.85rem}
.alert{display:grid;grid-template-columns:8.5rem minmax(0,1fr) 11rem;gap:.25rem 1rem;
  border:1px solid var(--pbm-line);border-left:5px solid var(--pbm-muted);border-radius:.5rem;
  padding:.65rem .9rem;margin:0 0 .5rem}
.alert.critical{border-left-color:var(--pbm-critical)}
.alert.late{border-left-color:var(--pbm-late)}
.alert.warning{border-left-color:var(--pbm-warning)}
.alert .severity{font-weight:650}
.alert.critical .severity{color:var(--pbm-critical)} .alert.late .severity{color:var(--pbm-late)}
.alert.warning .severity{color:var(--pbm-warning)}
.alert .small,.journey .small{font-size:.8rem;color:var(--pbm-muted)}
.alert .what{font-weight:600} .alert .todo{margin-top:.2rem}
.alert a,.journey a{color:var(--pbm-accent)} .alert a{font-weight:600;overflow-wrap:anywhere}
.alert .right{text-align:right;font-variant-numeric:tabular-nums}
.alert .overdue{font-size:1.15rem;font-weight:650}
.journey{list-style:none;margin:0;padding:0}
.journey li{display:grid;grid-template-columns:6.6rem 1rem minmax(0,1fr);gap:0 .75rem;
  position:relative;margin:0;padding:0 0 .8rem}
.journey li::before{content:"";position:absolute;left:calc(7.35rem + .45rem);top:.9rem;
  bottom:-.2rem;width:2px;background:var(--pbm-line)}
.journey li:last-child::before{display:none}
.journey .dot{width:.85rem;height:.85rem;border-radius:50%;background:var(--pbm-accent);
  margin-top:.28rem;z-index:1}
.journey .bad .dot{background:var(--pbm-bad);border-radius:2px}
.journey .next .dot{background:transparent;border:2px dashed var(--pbm-muted)}
.journey .time{font-variant-numeric:tabular-nums;text-align:right;color:var(--pbm-muted);
  font-size:.85rem;padding-top:.1rem}
.journey .name{font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(11,minmax(0,1fr));gap:3px;max-width:620px}
.tile{aspect-ratio:1;border-radius:4px;display:flex;flex-direction:column;align-items:center;
  justify-content:center;font-size:.72rem;line-height:1.15;font-weight:600}
.tile .n{font-size:.66rem;font-weight:500;font-variant-numeric:tabular-nums}
[class*="st-key-kpis-two"]{grid-template-columns:repeat(2,minmax(0,1fr))}
[data-testid="stStatusWidget"]{display:none}
/* what asks again stays as it is until the answer is there */
[data-stale="true"]{opacity:1!important;transition:none!important}
/* marks that Vega draws on hovering only, and names for nobody */
[data-testid="stMetricChart"] g[class*="highlighted_points_marks"],
[data-testid="stMetric"] g[class*="highlighted_points_marks"]{display:none}
@media (max-width:900px){.strip{grid-template-columns:repeat(3,minmax(0,1fr))}}
@media (max-width:640px){
  h1{margin-top:.4rem}
.block-container{padding-left:1rem;padding-right:1rem}
  .strip{grid-template-columns:repeat(2,minmax(0,1fr))}
  [class*="st-key-kpis"]{grid-template-columns:repeat(2,minmax(0,1fr));gap:.5rem}
  [class*="st-key-kpis"] [data-testid="stMetricValue"]{font-size:1.3rem}
  .alert{grid-template-columns:minmax(0,1fr) auto}
  .alert .middle{grid-column:1/-1;grid-row:2}
  .journey li{grid-template-columns:4.2rem 1rem minmax(0,1fr);gap:0 .5rem}
  .journey li::before{left:calc(4.7rem + .4rem)}
  [data-testid="stTable"] :is(td,th){padding:.3rem .3rem!important;font-size:.74rem!important;
    overflow-wrap:anywhere}
  .tiles{gap:2px} .tile{font-size:.62rem;border-radius:3px} .tile .n{font-size:.54rem}
}
"""


def title(text: str, lead: str) -> None:
    """A page's heading, and what it is for in a sentence."""
    st.title(text, anchor=False)
    st.html(f"<p class='pbm-as-of'>{html.escape(lead)}</p>")


def foot(who: access.Access) -> None:
    """Where the numbers are from, and who may see them."""
    st.divider()
    said = (
        f"Read from {warehouse().name}, gold and serving only; all times are UTC, and a day is a "
        "UTC day. "
    )
    if who.state == "open":
        said += (
            "Sign-in is off: whoever reaches this address sees everything. That is for a machine "
            "of your own; production needs `PBM_DASHBOARD_SIGN_IN=oidc`. "
        )
    else:
        said += f"You are signed in as {who.role}. "
    if not explanations():
        said += (
            "**The explanations of metrics are missing**: dbt's manifest is not at "
            "`PBM_DASHBOARD_MANIFEST`. `pbm dashboard` writes it; in an image, "
            "`dbt parse` does."
        )
    st.caption(said)
    if who.state == "signed_in":
        st.button("Sign out", on_click=st.logout)


def current_access() -> access.Access:
    """The access of this session."""
    return access.of(settings(), st.user.to_dict(), time.time())


def choices(words: Mapping[str, str], picked: Sequence[str] | None) -> str:
    """A filter as queries bind it: codes between commas, empty for all of them.

    Args:
        words: The word for each code.
        picked: The words that are picked.
    """
    chosen = [code for code, word in words.items() if word in (picked or ())]
    return f",{','.join(chosen)}," if chosen else ""
