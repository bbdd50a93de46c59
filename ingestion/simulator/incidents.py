"""Named incidents: what breaks, when, and which orders it really touched."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from ingestion.simulator.clock import DAY, HOUR
from ingestion.simulator.settings import SimulatorSettings

INCIDENTS: Final = (
    "payer_outage",
    "winter_storm",
    "lost_scans",
    "cold_chain_failure",
    "stuck_at_dispensing",
)
_LARGEST_SHARE: Final = 0.4
_TUESDAY: Final = 1


class AffectedOrder(NamedTuple):
    """One order that the incident touched.

    Attributes:
        order_id: The order.
        stage: The stage it was in, as the fact's hours are named, e.g. ``approved_to_dispensed``.
        since: When the order was first affected.
        until: When it went on, or None where that is not within the window.
    """

    order_id: str
    stage: str
    since: datetime
    until: datetime | None


@dataclass(frozen=True)
class IncidentTruth:
    """What really happened, to compare alerts and dashboards with.

    Attributes:
        name: One of ``INCIDENTS``.
        struck: The payer, carrier, pharmacy or region that it struck.
        since: Start of the incident.
        until: Its end.
        orders: The orders it changed, by number.
    """

    name: str
    struck: str
    since: datetime
    until: datetime
    orders: tuple[AffectedOrder, ...]


def incident_period(
    name: str, days: int, start_weekday: int, settings: SimulatorSettings
) -> tuple[int, int]:
    """Return from when to when an incident lasts, in seconds from the window's start.

    It starts after about 40 % of the window: at 13:00 UTC, the morning in the United States, on a
    Tuesday where the window is two weeks or more.
    """
    length = min(settings.incident_hours[name] * HOUR, int(days * DAY * _LARGEST_SHARE))
    if days < 3:
        begin = int(days * DAY * _LARGEST_SHARE)
    else:
        day = int(days * _LARGEST_SHARE)
        if days >= 14:
            day += (_TUESDAY - start_weekday - day) % 7
        begin = day * DAY + 13 * HOUR
    return begin, min(begin + length, days * DAY)
