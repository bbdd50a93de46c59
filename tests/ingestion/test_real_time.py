"""The generator in real time: what has happened comes at once, the rest as it happens."""

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest

from ingestion.commands import in_real_time
from ingestion.generate_pbm_orders import OrderSimulation, SimulatedMessage


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.slept = 0.0

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self.slept += seconds
        self.now += timedelta(seconds=seconds)


def happens_at(message: SimulatedMessage) -> datetime:
    return datetime.fromisoformat(json.loads(message.data)["event_timestamp"])


def test_nothing_is_sent_before_it_happens_and_nothing_is_left_out() -> None:
    start = datetime.now(UTC).date() - timedelta(days=1)
    simulation = OrderSimulation(orders=60, seed=3, start=start, days=1)
    everything = [message for batch in simulation.batches() for message in batch]
    # an hour before the end: a part of the day is still ahead
    end = datetime.combine(start, datetime.min.time(), UTC) + timedelta(days=1)
    clock = Clock(end - timedelta(hours=1))
    sent: list[SimulatedMessage] = []
    for batch in in_real_time(simulation.batches(), clock, clock.sleep):
        for message in batch:
            assert happens_at(message) <= clock.now
            assert clock.now - happens_at(message) < timedelta(seconds=1) or not clock.slept
        sent += batch
    assert sent == everything
    assert clock.slept > 60
    past = [message for message in everything if happens_at(message) <= end - timedelta(hours=1)]
    first = next(in_real_time(simulation.batches(), Clock(end - timedelta(hours=1))))
    assert list(first) == past


@pytest.mark.parametrize("data", [b"\xff", b"no json", b"[]", b"{}", b'{"event_timestamp": 1}'])
def test_what_says_no_time_goes_with_what_came_before(data: bytes) -> None:
    clock = Clock(datetime.now(UTC))
    sent = list(in_real_time(iter([[SimulatedMessage(data, {})]]), clock, clock.sleep))
    assert len(list(itertools.chain(*sent))) == 1
    assert clock.slept == 0
