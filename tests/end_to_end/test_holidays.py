"""The holidays that business hours leave out, against another implementation of the same law."""

import csv
from datetime import date
from itertools import pairwise

import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from tests.conftest import PROJECT_ROOT


def holidays() -> list[dict[str, str]]:
    with (PROJECT_ROOT / "seeds" / "federal_holidays.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_observed_days_are_those_of_pandas() -> None:
    # the last of December may be next year's holiday, which the seed's last year does not have
    calendar = USFederalHolidayCalendar()
    days = calendar.holidays(start=pd.Timestamp("2000-01-01"), end=pd.Timestamp("2040-12-30"))
    expected = {day.date() for day in days}
    ours = {date.fromisoformat(row["observed_date"]) for row in holidays()}
    assert {day for day in ours if day.year >= 2000} == expected


def test_a_holiday_on_a_weekend_is_kept_on_the_day_beside_it() -> None:
    moves = {
        (holiday.weekday(), (observed - holiday).days)
        for row in holidays()
        for holiday, observed in [
            (date.fromisoformat(row["holiday_date"]), date.fromisoformat(row["observed_date"]))
        ]
    }
    assert moves == {(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, -1), (6, 1)}
    assert all(first < second for first, second in pairwise(r["holiday_date"] for r in holidays()))
