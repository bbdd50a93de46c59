"""Reconciliation: what was published, counted, landed, refused, shown live and modelled.

Each number is taken where it is kept, and numbers that must be equal are compared. The queries are
one text for both warehouses, but for the few words in ``Dialect``; all of them are read in one
snapshot, so that ingestion may go on meanwhile.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import IsolationLevel

from ingestion.events import ErrorType
from ingestion.manifests import Manifest
from ingestion.sinks import REFUSED
from ingestion.suppression import ERASED
from pbm import warehouse

# ---------------------------------------------------------------------------------------------
# The queries
# ---------------------------------------------------------------------------------------------


class Dialect(NamedTuple):
    """What the two warehouses say differently.

    Attributes:
        minute: The minute of ``publish_time``.
        message_id: ``message_id``, ordered by code points.
        generation: The generation that a dead letter's attributes name, or null.
        silver_tables: The catalogue of silver's tables.
    """

    minute: str
    message_id: str
    generation: str
    silver_tables: str


POSTGRES: Final = Dialect(
    minute="date_trunc('minute', publish_time, 'UTC')",
    message_id='message_id collate "C"',
    # as text: an attribute may hold U+0000, on which the operators of JSON fail
    generation="""substring(cast(attributes as text) from '"(EV-[0-9a-f]{10})-')""",
    silver_tables="information_schema.tables",
)
BIGQUERY: Final = Dialect(
    minute="timestamp_trunc(publish_time, minute, 'UTC')",
    message_id="message_id",
    generation="""regexp_extract(to_json_string(attributes), r'"(EV-[0-9a-f]{10})-')""",
    silver_tables="pbm_silver.INFORMATION_SCHEMA.TABLES",
)

# A generated message is told by where it comes from: `file-<12 digits>` of the file whose line it
# is, or the `EV-<10 digits>` with which the ids of its generation begin. Everything else is
# ''. A replay is a message of ours, and no second one of the source.
_FILE: Final = "when message_id like 'file-%' then substr(message_id, 1, 17)"
_IS_REPLAY: Final = "select 1 from pbm_ops.replays where replays.message_id = {table}.message_id"

_QUERIES: Final[Mapping[str, str]] = {
    "runs": """
        select
            count(*) as runs,
            coalesce(sum(messages_read), 0) as messages_read,
            coalesce(sum(accepted), 0) as accepted,
            coalesce(sum(already_there), 0) as already_there,
            coalesce(sum(dead_letters), 0) as dead_letters
        from pbm_ops.ingest_runs
    """,
    "sources": "select distinct source from pbm_ops.ingest_runs",
    "replays": """
        select
            count(distinct replays.message_id) as messages,
            count(distinct replays.replay_of) as dead_letters,
            count(
                distinct case when landed.message_id is not null then replays.replay_of end
            ) as landed
        from pbm_ops.replays
        left join (
            select message_id from pbm_bronze.raw_orders
            union all
            select message_id from pbm_bronze.dead_letter_orders
        ) as landed on replays.message_id = landed.message_id
    """,
    "bronze": """
        select
            count(*) as messages,
            count(distinct event_id) as events
        from pbm_bronze.raw_orders
    """,
    "message_ids": """
        select count(*) as messages, count(distinct message_id) as message_ids
        from (
            select message_id from pbm_bronze.raw_orders
            union all
            select message_id from pbm_bronze.dead_letter_orders
        ) as landed
    """,
    "dead_letters": """
        select
            error_type,
            count(*) as messages,
            count(case when replay_count = 0 then 1 end) as not_replayed
        from pbm_bronze.dead_letter_orders
        group by error_type
        order by error_type
    """,
    "bronze_by_origin": f"""
        select
            case {_FILE} when event_id like 'EV-%' then substr(event_id, 1, 13) else '' end
                as origin,
            count(*) as messages
        from pbm_bronze.raw_orders
        where not exists ({_IS_REPLAY.format(table="raw_orders")})
        group by 1
    """,  # noqa: S608
    "dead_letters_by_origin": f"""
        select
            case {_FILE} else coalesce({{generation}}, '') end as origin,
            error_type,
            count(*) as messages
        from pbm_bronze.dead_letter_orders
        where not exists ({_IS_REPLAY.format(table="dead_letter_orders")})
        group by 1, 2
    """,  # noqa: S608
    "events_by_generation": """
        select
            substr(event_id, 1, 13) as origin,
            count(distinct event_id) as events
        from pbm_bronze.raw_orders
        where event_id like 'EV-%'
        group by 1
    """,
    "live": "select coalesce(sum(event_count), 0) as events from pbm_speed.live_order_metrics",
    "minutes_that_differ": """
        with

        copies as (

            select
                event_type,
                {minute} as window_start,
                row_number() over (
                    partition by event_id
                    order by publish_time, {message_id}
                ) as copy_number
            from pbm_bronze.raw_orders

        ),

        received as (

            select window_start, event_type, count(*) as events
            from copies
            where copy_number = 1
            group by window_start, event_type

        ),

        live as (

            select window_start, event_type, sum(event_count) as events
            from pbm_speed.live_order_metrics
            group by window_start, event_type

        )

        select
            window_start,
            event_type,
            coalesce(live.events, 0) as live_events,
            coalesce(received.events, 0) as received_events
        from live
        full outer join received using (window_start, event_type)
        where coalesce(live.events, 0) <> coalesce(received.events, 0)
        order by window_start, event_type
    """,
    "silver_tables": """
        select count(*) as tables
        from {silver_tables}
        where table_schema = 'pbm_silver' and table_name = 'stg_order_events'
    """,
    # An event is not built yet when its first message landed after all that silver has seen:
    # ingestion's transactions do not overlap, so silver cannot have passed over an earlier one.
    "silver": """
        with

        received as (

            select event_id, min(ingested_at) as ingested_at
            from pbm_bronze.raw_orders
            group by event_id

        ),

        newest as (

            select max(ingested_at) as ingested_at from pbm_silver.stg_order_events

        )

        select
            count(silver.event_id) as events,
            count(case when received.event_id is null then 1 end) as unknown_to_bronze,
            count(
                case
                    when silver.event_id is null and received.ingested_at <= newest.ingested_at
                        then 1
                end
            ) as missing,
            count(
                case
                    when silver.event_id is null
                        and (
                            newest.ingested_at is null
                            or received.ingested_at > newest.ingested_at
                        )
                        then 1
                end
            ) as not_built
        from received
        full outer join pbm_silver.stg_order_events as silver
            on received.event_id = silver.event_id
        cross join newest
    """,
}


def queries(dialect: Dialect) -> dict[str, str]:
    """Every query by name, in the words of one warehouse."""
    return {name: query.format(**dialect._asdict()) for name, query in _QUERIES.items()}


# ---------------------------------------------------------------------------------------------
# What a warehouse holds
# ---------------------------------------------------------------------------------------------


class Minute(NamedTuple):
    """A minute of publish time in which live panes and bronze differ."""

    window_start: datetime
    event_type: str
    live_events: int
    received_events: int


class Silver(NamedTuple):
    """Silver's events, set against those of bronze.

    Attributes:
        events: Rows of ``stg_order_events``.
        unknown_to_bronze: Of these, events that bronze does not hold.
        missing: Events of bronze that silver should have built, and has not.
        not_built: Events that landed after silver's last build.
    """

    events: int
    unknown_to_bronze: int
    missing: int
    not_built: int


class Refused(NamedTuple):
    """The dead letters of one reason."""

    messages: int
    not_replayed: int


@dataclass(frozen=True)
class Facts:
    """The numbers of a warehouse, each as its own table tells it.

    ``rows`` are those of bronze and the dead letters, ``message_ids`` the different ids of them.
    ``replays`` are messages, ``replayed`` the dead letters that they repeat, ``replays_landed``
    those of which a replay has landed. ``origin`` is what ``Manifest.origin`` is. ``silver`` is
    None while silver was not built.
    """

    runs: int
    messages_read: int
    accepted: int
    already_there: int
    counted_dead_letters: int
    sources: frozenset[str]
    replays: int
    replayed: int
    replays_landed: int
    messages: int
    events: int
    rows: int
    message_ids: int
    dead_letters: Mapping[str, Refused]
    bronze_by_origin: Mapping[str, int]
    dead_letters_by_origin: Mapping[tuple[str, str], int]
    events_by_generation: Mapping[str, int]
    live_events: int
    minutes_that_differ: Sequence[Minute]
    silver: Silver | None


def read_facts(dsn: str) -> Facts:
    """Read all numbers from PostgreSQL, as of one moment.

    Raises:
        ServiceError: The database does not answer.
        ConfigurationError: A table is missing.
    """
    texts = queries(POSTGRES)
    connection = warehouse.connect(dsn, role=warehouse.TRANSFORMER)
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True

    def rows(name: str) -> list[tuple[Any, ...]]:
        return connection.execute(texts[name].encode()).fetchall()

    def numbers(name: str) -> list[int]:
        return [int(value) for value in rows(name)[0]]

    with connection, warehouse.translated_errors(warehouse.describe(dsn)):
        runs, messages_read, accepted, already_there, counted = numbers("runs")
        messages, events = numbers("bronze")
        landed, message_ids = numbers("message_ids")
        replays, replayed, replays_landed = numbers("replays")
        return Facts(
            runs=runs,
            messages_read=messages_read,
            accepted=accepted,
            already_there=already_there,
            counted_dead_letters=counted,
            sources=frozenset(source for (source,) in rows("sources")),
            replays=replays,
            replayed=replayed,
            replays_landed=replays_landed,
            messages=messages,
            events=events,
            rows=landed,
            message_ids=message_ids,
            dead_letters={reason: Refused(*counts) for reason, *counts in rows("dead_letters")},
            bronze_by_origin=dict(rows("bronze_by_origin")),
            dead_letters_by_origin={
                (origin, reason): count for origin, reason, count in rows("dead_letters_by_origin")
            },
            events_by_generation=dict(rows("events_by_generation")),
            live_events=numbers("live")[0],
            minutes_that_differ=[
                Minute(start, kind, int(live), int(received))
                for start, kind, live, received in rows("minutes_that_differ")
            ],
            silver=Silver(*numbers("silver")) if numbers("silver_tables")[0] else None,
        )


# ---------------------------------------------------------------------------------------------
# The comparison
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """Two numbers that must be equal.

    Attributes:
        name: What is compared.
        left: What the first number is, in words.
        left_value: The number.
        right: What the second is.
        right_value: The number.
        difference: In words, what is wrong; None when they agree. Where numbers are sums, it may
            name a difference although they are equal.
    """

    name: str
    left: str
    left_value: int
    right: str
    right_value: int
    difference: str | None


@dataclass
class Reconciliation:
    """The comparison of a warehouse with itself and with what was published.

    Attributes:
        checks: What must agree.
        counts: Single numbers, by place and name.
        notes: What could not be compared, or is not there yet, in words.
    """

    checks: list[Check] = field(default_factory=list)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def differences(self) -> list[Check]:
        """The checks that do not hold."""
        return [check for check in self.checks if check.difference is not None]

    def require(
        self,
        name: str,
        left: tuple[str, int],
        right: tuple[str, int],
        if_more: str,
        if_less: str,
        erased: int = 0,
    ) -> None:
        """Compare two numbers; ``if_more`` and ``if_less`` say why the second may differ.

        Of ``erased`` messages it is not known any more where they belonged: the second number may
        be less by as many.
        """
        surplus = right[1] - left[1]
        surplus = min(0, surplus + erased) if surplus < 0 else surplus
        difference = None
        if surplus:
            difference = (
                f"{abs(surplus):,} {'more' if surplus > 0 else 'fewer'} in {right[0]} than in "
                f"{left[0]}: {if_more if surplus > 0 else if_less}"
            )
        self.checks.append(Check(name, *left, *right, difference))


def relevant(manifests: Sequence[Manifest], topic: str, sources: frozenset[str]) -> list[Manifest]:
    """The manifests of what this warehouse may hold.

    Args:
        manifests: All of a folder.
        topic: Full name of the topic that the warehouse's ingestion reads.
        sources: What was ingested: a file's messages count once it was.
    """
    return [
        manifest
        for manifest in manifests
        if (manifest.topic == topic if manifest.is_published else manifest.file_source in sources)
    ]


def reconcile(manifests: Sequence[Manifest], facts: Facts) -> Reconciliation:
    """Compare what was published, as the manifests say, and the numbers of the warehouse."""
    result = Reconciliation()
    if manifests:
        _compare_with_manifests(result, manifests, facts)
    else:
        result.notes.append(
            "No manifest of generated orders applies, so what was published is not compared."
        )
    _compare_with_job(result, facts)
    _compare_live(result, facts)
    _compare_silver(result, facts)
    dead = sum(refused.messages for refused in facts.dead_letters.values())
    result.counts["job"] = {
        "runs": facts.runs,
        "messages read": facts.messages_read,
        "accepted": facts.accepted,
        "already there": facts.already_there,
        "dead letters": facts.counted_dead_letters,
    }
    result.counts["bronze"] = {
        "messages": facts.messages,
        "distinct events": facts.events,
        "duplicates": facts.messages - facts.events,
    }
    result.counts["dead letters"] = {
        "messages": dead,
        **{reason: refused.messages for reason, refused in sorted(facts.dead_letters.items())},
        "not replayed": sum(refused.not_replayed for refused in facts.dead_letters.values()),
        "replays published": facts.replays,
    }
    result.counts["live panes"] = {"events": facts.live_events}
    if facts.silver is not None:
        result.counts["silver"] = {
            "events": facts.silver.events,
            "not built yet": facts.silver.not_built,
        }
    return result


def _compare_with_manifests(
    result: Reconciliation, manifests: Sequence[Manifest], facts: Facts
) -> None:
    cut_short = [manifest for manifest in manifests if not manifest.is_complete]
    for manifest in cut_short:
        result.notes.append(
            f"The sending of {manifest.path.name} goes on or was cut short: how many messages of "
            f"its generation {manifest.namespace} were published is not known, and they are not "
            "compared. When it was sent again in full, its events still are."
        )
    unknown = {manifest.origin for manifest in cut_short}
    # a file's messages have ids of their own: two sendings of the same bytes are one file
    sendings = {
        manifest.path if manifest.is_published else manifest.origin: manifest
        for manifest in manifests
        if manifest.is_complete
    }.values()
    countable = [manifest for manifest in sendings if manifest.origin not in unknown]
    origins = {manifest.origin for manifest in countable}
    bronze = sum(facts.bronze_by_origin.get(origin, 0) for origin in origins)
    dead: Counter[str] = Counter()
    for (origin, reason), count in facts.dead_letters_by_origin.items():
        if origin in origins:
            dead[reason] += count
    generations = {f"EV-{manifest.namespace}": manifest.events for manifest in sendings}
    published = {
        "sendings": len(sendings),
        "messages": sum(manifest.messages for manifest in sendings),
        "distinct events": sum(generations.values()),
        "duplicates": sum(manifest.duplicates for manifest in sendings),
    }
    malformed: Counter[str] = Counter()
    for manifest in countable:
        malformed.update(manifest.malformed_by_error_type or {})
    result.counts["generator"] = {**published, "malformed": malformed.total()}
    erased = facts.dead_letters.get(ERASED, Refused(0, 0)).messages
    if erased:
        result.notes.append(
            f"{erased:,} messages of erased patients are dead letters without content. Where they "
            "came from is not known any more: up to as many may be missing from what was generated."
        )
    _compare_messages(result, countable, bronze, dead, erased)
    result.require(
        "generated events",
        ("the manifests", sum(generations.values())),
        ("bronze", sum(facts.events_by_generation.get(name, 0) for name in generations)),
        if_more="bronze holds events of this generation that were never generated.",
        if_less="they are not ingested yet, were lost, or the warehouse refused them"
        + (f" ({dead[REFUSED]:,} dead letters of {REFUSED})." if dead[REFUSED] else "."),
        erased=erased,
    )
    for reason in ErrorType:
        if malformed[reason] or dead[reason]:
            result.require(
                f"refused as {reason}",
                ("the manifests", malformed[reason]),
                ("the dead letters", dead[reason]),
                if_more="ingestion refused messages that were meant to be good.",
                if_less="they are not ingested yet, were lost, or were accepted or refused "
                "for another reason.",
                erased=erased,
            )
    others = facts.messages - sum(
        facts.bronze_by_origin.get(origin, 0) for origin in origins | unknown
    )
    result.counts["generator"]["bronze rows of others"] = others


def _compare_messages(
    result: Reconciliation,
    countable: Sequence[Manifest],
    bronze: int,
    dead: Counter[str],
    erased: int,
) -> None:
    if not countable:
        return
    result.require(
        "generated messages",
        ("the manifests", sum(manifest.messages for manifest in countable)),
        ("bronze and the dead letters", bronze + dead.total()),
        if_more="they were sent more often than the manifests say, or a replay was killed before "
        "it could note what it had published.",
        if_less="they are not ingested yet (pbm ingest --from pubsub), or were lost: the emulator "
        "forgets what is unread when it stops.",
        erased=erased - dead[ERASED],
    )


def _compare_with_job(result: Reconciliation, facts: Facts) -> None:
    dead = sum(refused.messages for refused in facts.dead_letters.values())
    result.require(
        "messages, each in one place",
        ("their ids", facts.message_ids),
        ("bronze and the dead letters", facts.rows),
        if_more="a message is in both of them, or twice in one.",
        if_less="a row without an id.",
    )
    if facts.replayed:
        result.require(
            "dead letters replayed",
            ("replays published", facts.replayed),
            ("replays that landed", facts.replays_landed),
            if_more="a replay landed that was never published.",
            if_less="they are not ingested yet (pbm ingest --from pubsub), or were lost with the "
            "emulator: then replay them with --again.",
        )
    gone = "rows were removed after ingestion had committed them."
    added = "rows were written by something other than ingestion."
    result.require(
        "messages accepted",
        ("the job's count", facts.accepted),
        ("bronze", facts.messages),
        if_more=added,
        if_less=gone,
    )
    result.require(
        "messages refused",
        ("the job's count", facts.counted_dead_letters),
        ("the dead letters", dead),
        if_more=added,
        if_less=gone,
    )


def _compare_live(result: Reconciliation, facts: Facts) -> None:
    minutes = facts.minutes_that_differ
    difference = None
    if minutes:
        first = minutes[0]
        starts = {minute.window_start for minute in minutes}
        difference = (
            f"{len(starts):,} minute{'s differ' if len(starts) > 1 else ' differs'}; the first is "
            f"{first.window_start:%Y-%m-%d %H:%M} UTC with {first.live_events:,} "
            f"{first.event_type} in the live panes and {first.received_events:,} in bronze: panes "
            "or rows were removed or added, or a killed run's windows await repair by the next one."
        )
    result.checks.append(
        Check(
            "events by minute and type",
            "live panes",
            facts.live_events,
            "first copies in bronze",
            facts.events,
            difference,
        )
    )


def _compare_silver(result: Reconciliation, facts: Facts) -> None:
    silver = facts.silver
    if silver is None:
        result.notes.append("Silver was not built yet, so it is not compared: run pbm build.")
        return
    if silver.not_built:
        result.notes.append(
            f"{silver.not_built:,} events landed after silver's last build, and are not built yet: "
            "run pbm build."
        )
    problems = []
    if silver.missing:
        problems.append(f"silver passed over {silver.missing:,} events of bronze")
    if silver.unknown_to_bronze:
        problems.append(f"silver holds {silver.unknown_to_bronze:,} events that bronze does not")
    expected = facts.events - silver.not_built
    if not problems and silver.events != expected:
        problems.append("silver holds an event more than once")
    result.checks.append(
        Check(
            "events in silver",
            "bronze, as of silver's last build",
            expected,
            "silver",
            silver.events,
            f"{' and '.join(problems)}: run pbm build --full-refresh." if problems else None,
        )
    )
