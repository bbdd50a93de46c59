"""Local time at the pharmacies, and when orders come in."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from ingestion.simulator.draws import Bools, Floats, Ints

HOUR: Final = 3600
DAY: Final = 86400
_MARGIN_DAYS: Final = 45


class LocalClock:
    """UTC offsets of the pharmacies' time zones around the window.

    All times are whole seconds since midnight UTC of the window's first day.

    Args:
        start: First day of the window.
        days: Length of the window in days.
        zones: IANA names, one for each pharmacy.
    """

    def __init__(self, start: date, days: int, zones: Sequence[str]) -> None:
        self.midnight = datetime(start.year, start.month, start.day, tzinfo=UTC)
        self.start_weekday = start.weekday()
        hours = (days + 2 * _MARGIN_DAYS) * 24
        self._first = -_MARGIN_DAYS * DAY
        instants = [self.midnight + timedelta(hours=h - _MARGIN_DAYS * 24) for h in range(hours)]
        by_zone: dict[str, list[int]] = {}
        for zone in zones:
            if zone not in by_zone:
                info = ZoneInfo(zone)
                offsets = (moment.astimezone(info).utcoffset() for moment in instants)
                by_zone[zone] = [int(o.total_seconds()) if o else 0 for o in offsets]
        self._offsets = np.array([by_zone[zone] for zone in zones], dtype=np.int64)

    def offset(self, pharmacy: Ints, at: Ints) -> Ints:
        """Return the UTC offset at each pharmacy at each time, in seconds."""
        hour = np.clip((at - self._first) // HOUR, 0, self._offsets.shape[1] - 1)
        return self._offsets[pharmacy, hour]

    def at_hour(self, pharmacy: Ints, at: Ints, plus_days: Ints, hour: Ints) -> Ints:
        """Return the time of a local hour, so many local days after the day of ``at``."""
        local = at + self.offset(pharmacy, at)
        target = (local // DAY + plus_days) * DAY + hour * HOUR
        return target - self.offset(pharmacy, target - self.offset(pharmacy, at))

    def into_hours(self, pharmacy: Ints, at: Ints, hours: tuple[int, int], spread: Floats) -> Ints:
        """Move what falls into the night to the nearer end of a working day.

        Args:
            pharmacy: Position of the pharmacy.
            at: Times to move.
            hours: First and last working hour, local.
            spread: 0 to 1; moved times spread over the working day's nearest hour.
        """
        opens, closes = hours[0] * HOUR, hours[1] * HOUR
        local = at + self.offset(pharmacy, at)
        second = local % DAY
        night = DAY - closes + opens
        since_close = (second - closes) % DAY
        is_night = since_close < night
        is_evening = since_close * 2 < night
        inside = (spread * HOUR).astype(np.int64)
        back = at - since_close - inside
        forward = at + (night - since_close) + inside
        return np.where(is_night, np.where(is_evening, back, forward), at)


class ArrivalProfile:
    """When orders come in at pharmacies of one time zone, as a cumulative curve.

    Args:
        clock: Local time.
        pharmacy: A pharmacy of the zone.
        days: Length of the window.
        extra_days: Days after it that refills may ask about.
        weights: Weights by weekday (7) and by half hour of the local day (48).
    """

    def __init__(
        self,
        clock: LocalClock,
        pharmacy: int,
        days: int,
        extra_days: int,
        weights: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        bins = np.arange((days + extra_days) * 48, dtype=np.int64) * (HOUR // 2)
        local = bins + clock.offset(np.full(len(bins), pharmacy, dtype=np.int64), bins)
        weekday = (local // DAY + clock.start_weekday) % 7
        by_weekday = np.array(weights[0], dtype=np.float64)
        by_half_hour = np.array(weights[1], dtype=np.float64)
        self._weight = by_weekday[weekday] * by_half_hour[local % DAY // (HOUR // 2)]
        self._limits = np.concatenate(([0.0], np.cumsum(self._weight)))

    def share_until(self, at: Ints) -> Floats:
        """Return the weight of everything before each time."""
        half_hour = np.clip(at // (HOUR // 2), 0, len(self._weight) - 1)
        inside = (at - half_hour * (HOUR // 2)) / (HOUR / 2)
        share: Floats = self._limits[half_hour] + np.minimum(inside, 1.0) * self._weight[half_hour]
        return share

    def time_of(self, share: Floats) -> Ints:
        """Return the time before which so much weight lies."""
        found = np.searchsorted(self._limits, share, side="right") - 1
        half_hour = np.clip(found, 0, len(self._weight) - 1)
        inside = (share - self._limits[half_hour]) / self._weight[half_hour]
        seconds = (np.clip(inside, 0.0, 1.0) * (HOUR // 2)).astype(np.int64)
        at: Ints = half_hour * (HOUR // 2) + np.minimum(seconds, HOUR // 2 - 1)
        return at


def within(at: Ints, period: tuple[int, int]) -> Bools:
    """Return which times lie in the period, its end excluded."""
    inside: Bools = (at >= period[0]) & (at < period[1])
    return inside
