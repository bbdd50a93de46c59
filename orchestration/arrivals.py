"""Whether what was published has arrived, asked of the warehouse through Airflow's connection.

The same words on PostgreSQL and BigQuery, but for how a JSON column becomes text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from orchestration.warehouse import Warehouse

_TEXT: Final = {
    "postgres": "cast(attributes as text)",
    "gcpbigquery": "to_json_string(attributes)",
}
_TYPES: Final = {"postgres": "timestamp with time zone", "gcpbigquery": "timestamp"}
_QUERY: Final = """
select
    (
        select count(distinct event_id)
        from pbm_bronze.raw_orders
        where event_id like '{generation}%' and ingested_at >= {since}
    ) as events,
    (
        select count(distinct message_id)
        from pbm_bronze.dead_letter_orders
        where {attributes} like '%"{generation}%' and failed_at >= {since}
    ) as refused
"""
_SILVER: Final = """,
    (
        select count(distinct event_id)
        from pbm_silver.stg_order_events
        where event_id like '{generation}%'
    ) as built
"""
_NAMESPACE: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Published:
    """What one run of the generator has sent.

    Attributes:
        namespace: The hash in every identifier of it.
        events: Distinct events.
        malformed: Messages that ingestion must refuse.
        started_at: When sending began, in RFC 3339.
    """

    namespace: str
    events: int
    malformed: int
    started_at: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Published":
        """Of what ``pbm generate orders`` printed."""
        return cls(
            manifest["namespace"],
            int(manifest["distinct_event_ids"]),
            int(manifest["malformed"]),
            manifest["started_at"],
        )


@dataclass(frozen=True)
class Arrived:
    """How much of it is there.

    Attributes:
        events: Distinct events in bronze.
        refused: Dead letters.
        built: Distinct events in silver.
    """

    events: int
    refused: int
    built: int = 0

    def missing(self, published: Published) -> str | None:
        """In words, what has not reached bronze or the dead letters; None if nothing."""
        events = published.events - self.events
        malformed = published.malformed - self.refused
        parts = []
        if events > 0:
            parts.append(f"{events:,} of {published.events:,} events are not in bronze")
        if malformed > 0:
            parts.append(
                f"{malformed:,} of {published.malformed:,} malformed messages are no dead letters"
            )
        return " and ".join(parts) or None


def query(published: Published, kind: str, *, with_silver: bool = False) -> str:
    """The SQL that counts what has arrived: one row of numbers.

    Args:
        published: What was sent.
        kind: Type of the Airflow connection: ``postgres`` or ``gcpbigquery``.
        with_silver: Whether to count in silver too.
    """
    if not published.namespace or not _NAMESPACE.issuperset(published.namespace):
        raise ValueError("The namespace is no hash.")
    # a day to spare: it is there to read few partitions, not to tell sendings apart
    first_day = (datetime.fromisoformat(published.started_at) - timedelta(days=1)).date()
    words = {
        "generation": f"EV-{published.namespace}-",
        "since": f"cast('{first_day} 00:00:00+00' as {_TYPES[kind]})",
        "attributes": _TEXT[kind],
    }
    return (_QUERY + (_SILVER if with_silver else "")).format(**words)


def count(published: Published, *, with_silver: bool = False) -> Arrived:
    """Ask the warehouse."""
    warehouse = Warehouse()
    (row,) = warehouse.rows(query(published, warehouse.kind, with_silver=with_silver))
    return Arrived(*(int(number) for number in row))
