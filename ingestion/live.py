"""The speed layer's arithmetic: events by minute of publish time, in panes that add up.

An event counts in the minute of its first copy: the one with the earliest publish time, then the
smallest message id, as in silver. A copy that arrives later and is earlier moves the event: one
less where it was counted, one more where it belongs.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ingestion.events import live_labels

WINDOW = timedelta(minutes=1)


class LiveKey(NamedTuple):
    """By what events are counted within a window."""

    event_type: str
    state: str | None
    status: str | None


class FirstCopy(NamedTuple):
    """A copy of an event that counts, or counted until now."""

    event_type: str
    payload: str
    publish_time: datetime


class Pane(NamedTuple):
    """A row of ``pbm_speed.live_order_metrics``, but for when it was written."""

    window_start: datetime
    window_end: datetime
    event_type: str
    state: str | None
    status: str | None
    event_count: int
    pane_id: str


def key_of(copy: FirstCopy) -> LiveKey:
    """By what a copy is counted."""
    return LiveKey(copy.event_type, *live_labels(copy.event_type, copy.payload))


def window_start(publish_time: datetime) -> datetime:
    """The start of the minute in which a message was published, in UTC."""
    return publish_time.astimezone(UTC).replace(second=0, microsecond=0)


def count(
    counted: Iterable[FirstCopy], replaced: Iterable[FirstCopy]
) -> Counter[tuple[datetime, LiveKey]]:
    """How the counts change: more for copies that count now, less for those they replace."""
    changes: Counter[tuple[datetime, LiveKey]] = Counter()
    for copy in counted:
        changes[window_start(copy.publish_time), key_of(copy)] += 1
    for copy in replaced:
        changes[window_start(copy.publish_time), key_of(copy)] -= 1
    return changes


def pane(emission: str, start: datetime, key: LiveKey, event_count: int) -> Pane:
    """A pane of one emission.

    Args:
        emission: What tells this emission from any other: panes of the same emission, window and
            key have the same id.
        start: Start of the window.
        key: By what was counted.
        event_count: How many more events, or fewer.
    """
    identity = "\x1f".join([emission, start.isoformat(), *(part or "\x00" for part in key)])
    pane_id = hashlib.sha256(identity.encode()).hexdigest()[:32]
    return Pane(start, start + WINDOW, *key, event_count, pane_id)
