"""How true a page is at this second: what the strip on top of every page says."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboards.warehouse import Row

_AN_HOUR = 3600
_A_DAY = 86_400


@dataclass(frozen=True)
class Freshness:
    """The row of ``serving_status``, as a page needs it. All times are in UTC.

    Attributes:
        observed_at: The warehouse's clock when it was asked.
        last_published_at: When the newest message was published; None while there is none.
        last_ingested_at: When the newest row of bronze was written.
        last_event_at: The latest event that is known, by the sources' clocks.
        last_batch_at: When the last build began whose tests passed; None before the first.
        waiting: Messages that came after that build.
        dead_letters: Messages refused in the last hour.
        hours_compared: Hours of which batch and speed were compared.
        hours_differing: Of these, hours in which they differ.
    """

    observed_at: datetime
    last_published_at: datetime | None
    last_ingested_at: datetime | None
    last_event_at: datetime | None
    last_batch_at: datetime | None
    waiting: int
    dead_letters: int
    hours_compared: int
    hours_differing: int

    @classmethod
    def of(cls, row: Row) -> "Freshness":
        """From the row that the query gives."""
        known = [
            time
            for time in (row["last_built_event_at"], row["last_arriving_event_at"])
            if time is not None
        ]
        published = row["last_published_at"]
        # a source's clock may be ahead: nothing is known of a time after the newest message
        latest = min(max(known), published) if known and published else None
        return cls(
            observed_at=row["observed_at"],
            last_published_at=published,
            last_ingested_at=row["last_ingested_at"],
            last_event_at=latest,
            last_batch_at=row["last_batch_at"],
            waiting=row["waiting_count"],
            dead_letters=row["recent_dead_letter_count"],
            hours_compared=row["reconciled_hour_count"],
            hours_differing=row["differing_hour_count"],
        )

    @property
    def silence(self) -> float | None:
        """Seconds since the newest row of bronze was written; None while there is none."""
        return _seconds(self.last_ingested_at, self.observed_at)

    @property
    def lag(self) -> float | None:
        """Seconds from the publishing of the newest message to its row; None without one."""
        return _seconds(self.last_published_at, self.last_ingested_at)

    @property
    def batch_age(self) -> float | None:
        """Seconds since the last good build began; None before the first."""
        return _seconds(self.last_batch_at, self.observed_at)

    @property
    def as_of(self) -> datetime:
        """The moment that the page is about: the latest that is known to have happened."""
        return self.observed_at if self.last_event_at is None else self.last_event_at

    @property
    def today(self) -> datetime:
        """Midnight UTC of the day that the page is about."""
        return self.as_of.replace(hour=0, minute=0, second=0, microsecond=0)

    def days_before(self, days: int) -> datetime:
        """Midnight UTC so many days before."""
        return self.today - timedelta(days=days)

    def is_silent(self, quiet_seconds: int) -> bool:
        """Whether nothing has come in for longer than that."""
        return self.silence is not None and self.silence > quiet_seconds


def _seconds(earlier: datetime | None, later: datetime | None) -> float | None:
    if earlier is None or later is None:
        return None
    return max(0.0, (later - earlier).total_seconds())


def in_words(seconds: float | None) -> str:
    """A duration as people say it, such as ``2 h 5 min``; a dash where it is not known."""
    if seconds is None:
        return "—"
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < _AN_HOUR:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    if seconds < _A_DAY:
        return f"{int(seconds // _AN_HOUR)} h {int(seconds % _AN_HOUR // 60)} min"
    return f"{int(seconds // _A_DAY)} d {int(seconds % _A_DAY // _AN_HOUR)} h"
