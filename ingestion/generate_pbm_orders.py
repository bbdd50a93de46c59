"""The order simulator: what a specialty pharmacy's systems would have published.

A seeded process model (``ingestion.simulator``) lets every order live its life; this module turns
what happened into a stream of messages by the event contract, with the faults of real feeds on
request. The same parameters give the same bytes on any day and any machine.

* The window is ``days`` days from midnight UTC of ``start``. Orders are placed within it; what
  would happen after its end is not sent, so recent orders stay open.
* Identifiers carry a short hash of all that shapes the orders: the seed, their number, the window,
  the incident, the settings, the reference seeds and the pools of names. Two generations never
  share an identifier; the delivery knobs (``duplicates``, ``late``, ``malformed``, ``shuffle``)
  are left out of it, because they change how events arrive and not what happened.
* Without knobs, messages come in the order of their events' time.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ingestion.simulator.clock import DAY, LocalClock
from ingestion.simulator.draws import Bools, Draws, Ints
from ingestion.simulator.incidents import INCIDENTS, AffectedOrder, IncidentTruth
from ingestion.simulator.lifecycle import NEVER, Affected, Lifecycle, Process, Slot
from ingestion.simulator.malformed import ERROR_TYPES, error_type_of, make_malformed
from ingestion.simulator.messages import EVENT_TYPES, MessageWriter, slot_types
from ingestion.simulator.people import fill_pools
from ingestion.simulator.reference import load_reference
from ingestion.simulator.settings import SimulatorSettings
from pbm.errors import InputError

__all__ = [
    "DEFAULT_DAYS",
    "DEFAULT_START",
    "INCIDENTS",
    "AffectedOrder",
    "IncidentTruth",
    "OrderSimulation",
    "SimulatedMessage",
    "SimulationManifest",
]

DEFAULT_START: Final = date(2026, 1, 5)
"""A Monday, so that whole weeks are simulated."""

DEFAULT_DAYS: Final = 30
MAX_ORDERS: Final = 10_000_000
MAX_DAYS: Final = 3660
_EARLIEST: Final = date(2000, 1, 1)
_LATEST: Final = date(2100, 1, 1)
_BATCH: Final = 4096
# Raise it when the same parameters come to mean other orders, so that identifiers change as well.
_MODEL_VERSION: Final = 1
_NAMESPACE_DIGITS: Final = 10


class SimulatedMessage(NamedTuple):
    """One message as a publisher sends it.

    Attributes:
        data: One UTF-8 JSON object without a line break; for a malformed message, what its source
            sent instead.
        attributes: ``event_id``, ``event_type``, ``order_id`` and ``schema_version``.
    """

    data: bytes
    attributes: dict[str, str]


@dataclass(frozen=True)
class SimulationManifest:
    """What a run held, to compare a warehouse with.

    Attributes:
        namespace: The hash in every identifier.
        parameters: What the run was asked for.
        orders: Orders placed.
        orders_delivered: Of these, known to be delivered within the window.
        orders_cancelled: Cancelled within the window.
        orders_open: Neither.
        patients: Patients with an order.
        events: Distinct business events: the number of rows silver must have.
        events_by_type: The same, by event type.
        distinct_event_ids: Equal to ``events``.
        messages: Events, duplicates and malformed messages together.
        duplicates: Messages that repeat an event.
        late: Events delivered after their time.
        malformed: Messages that ingestion must refuse.
        malformed_by_error_type: The same, by the reason.
        sha256: Of all messages in delivery order, each with a line feed after it: the hash of the
            file that holds one message on each line.
        incident: What an incident did, or None.
    """

    namespace: str
    parameters: dict[str, Any]
    orders: int
    orders_delivered: int
    orders_cancelled: int
    orders_open: int
    patients: int
    events: int
    events_by_type: dict[str, int]
    distinct_event_ids: int
    messages: int
    duplicates: int
    late: int
    malformed: int
    malformed_by_error_type: dict[str, int]
    sha256: str
    incident: IncidentTruth | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON, times in RFC 3339."""
        plain = asdict(self)
        if self.incident is not None:
            plain["incident"] = {
                "name": self.incident.name,
                "struck": self.incident.struck,
                "since": self.incident.since.isoformat(),
                "until": self.incident.until.isoformat(),
                "orders": [
                    {
                        "order_id": order.order_id,
                        "stage": order.stage,
                        "since": order.since.isoformat(),
                        "until": order.until.isoformat() if order.until else None,
                    }
                    for order in self.incident.orders
                ],
            }
        return plain


@dataclass(frozen=True)
class _Timeline:
    """All events in the order of their time: position of the order, slot, milliseconds.

    Small types, because there are millions of them.
    """

    order: npt.NDArray[np.int32]
    slot: npt.NDArray[np.int8]
    milliseconds: Ints


@dataclass(frozen=True)
class _Delivery:
    """What is delivered, in order: an event's position, or from ``first_malformed`` on a number.

    ``is_altered`` marks copies with a field more; None where there are none.
    """

    item: Ints
    at: Ints
    is_altered: Bools | None
    first_malformed: int
    duplicates: int
    late: int
    malformed: int


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"{name} is {value!r}, not a whole number from {low:,} to {high:,}.",
            f"Give {name} a value in that range.",
        )
    return value


def _fraction(name: str, value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= (number := float(str(value))) <= 1:  # not a number is in no range
        raise InputError(
            f"{name} is {value!r}, not a fraction from 0 to 1.",
            f"Give {name} as a share of the messages: 0.02 is two in a hundred.",
        )
    return number


def _first_day(start: object, days: int) -> date:
    if not isinstance(start, date) or isinstance(start, datetime):
        raise InputError(f"start is {start!r}, not a date.", "Give start as YYYY-MM-DD.")
    if start < _EARLIEST or start > _LATEST - timedelta(days=days):
        raise InputError(
            f"start is {start} for {days} days, which is not within {_EARLIEST} and {_LATEST}.",
            "The event contract takes events from 2000 on; give an earlier or later start.",
        )
    return start


class OrderSimulation:
    """A run of the simulator.

    Args:
        orders: How many orders are placed in the window, 1 to 10 million.
        seed: Any whole number from 0; another seed is another world.
        start: First day of the window, from 2000-01-01 on.
        days: Length of the window, 1 to 3,660.
        duplicates: Share of the events that are sent again some time later with the same id. Most
            copies are the same bytes; a few carry one more field, which nobody reads.
        late: Share of the events that are delivered hours or days after they happened.
        malformed: How many messages that ingestion refuses are added, as a share of the events.
            They are extra, so that good events stay complete. Where it is above 0 there is at
            least one for each reason.
        shuffle: Deliver everything in an order that has nothing to do with time.
        incident: One of ``INCIDENTS``, or None.
        settings: The parameters of the process; the documented ones when left out.

    Raises:
        InputError: A parameter is out of its range, or a reference seed cannot be used.
    """

    def __init__(  # noqa: PLR0913 - the knobs of one run, all by name
        self,
        *,
        orders: int,
        seed: int = 0,
        start: date = DEFAULT_START,
        days: int = DEFAULT_DAYS,
        duplicates: float = 0.0,
        late: float = 0.0,
        malformed: float = 0.0,
        shuffle: bool = False,
        incident: str | None = None,
        settings: SimulatorSettings | None = None,
    ) -> None:
        self._orders = _whole("orders", orders, 1, MAX_ORDERS)
        self._seed = _whole("seed", seed, 0, 2**63 - 1)
        self._days = _whole("days", days, 1, MAX_DAYS)
        self._start = _first_day(start, self._days)
        self._duplicates = _fraction("duplicates", duplicates)
        self._late = _fraction("late", late)
        self._malformed = _fraction("malformed", malformed)
        self._shuffle = bool(shuffle)
        if incident is not None and incident not in INCIDENTS:
            raise InputError(
                f"incident is {incident!r}, which is none of them.",
                f"Give one of {', '.join(INCIDENTS)}.",
            )
        self._incident = incident
        self._settings = settings if settings is not None else SimulatorSettings()
        self._draws = Draws(self._seed)
        self._reference = load_reference()
        self._people = fill_pools(self._seed, self._settings)
        zones = [pharmacy.time_zone for pharmacy in self._reference.pharmacies]
        self._clock = LocalClock(self._start, self._days, zones)
        self._simulated: tuple[_Timeline, MessageWriter] | None = None
        self._manifest: SimulationManifest | None = None
        self._truth: IncidentTruth | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What the run was asked for, as plain values."""
        return {
            "orders": self._orders,
            "seed": self._seed,
            "start": self._start.isoformat(),
            "days": self._days,
            "duplicates": self._duplicates,
            "late": self._late,
            "malformed": self._malformed,
            "shuffle": self._shuffle,
            "incident": self._incident,
        }

    @property
    def namespace(self) -> str:
        """Ten hexadecimal digits that every identifier of this generation carries."""
        shape = {
            "model_version": _MODEL_VERSION,
            "orders": self._orders,
            "seed": self._seed,
            "start": self._start.isoformat(),
            "days": self._days,
            "incident": self._incident,
            "settings": self._settings.model_dump(mode="json"),
            "reference": asdict(self._reference),
            "people": self._people.digest,
        }
        text = json.dumps(shape, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:_NAMESPACE_DIGITS]

    def batches(self) -> Iterator[list[SimulatedMessage]]:
        """Yield all messages in delivery order, a few thousand at a time.

        It may be called again and yields the same. The manifest is there once it is used up.
        """
        timeline, writer = self._simulate()
        delivery = self._deliver(timeline)
        digest = hashlib.sha256()
        refused: Counter[str] = Counter()
        for first in range(0, len(delivery.item), _BATCH):
            here = slice(first, first + _BATCH)
            batch = self._write(timeline, writer, delivery, here, refused)
            digest.update(b"\n".join([message.data for message in batch]) + b"\n")
            yield batch
        self._note(timeline, delivery, refused, digest.hexdigest())

    def manifest(self) -> SimulationManifest:
        """Return what the run held.

        Raises:
            RuntimeError: ``batches`` has not been used up yet.
        """
        if self._manifest is None:
            raise RuntimeError("The manifest is known once every batch has been taken.")
        return self._manifest

    # ---------- what happened

    def _simulate(self) -> tuple[_Timeline, MessageWriter]:
        if self._simulated is not None:
            return self._simulated
        life = Process(
            self._draws,
            self._orders,
            self._clock,
            self._days,
            self._people,
            self._reference,
            self._settings,
            self._incident,
        ).run()
        writer = MessageWriter(
            life,
            self.namespace,
            self._clock,
            self._people,
            self._reference,
            self._settings,
            self._seed,
        )
        end = self._days * DAY
        self._count_orders(life, end)
        if life.affected is not None and self._incident is not None:
            self._truth = self._name_affected(life.affected, self._incident, writer, end)
        orders, slots, times = [], [], []
        for slot in Slot:
            at = life.at.pop(slot)
            order = np.flatnonzero((at >= 0) & (at < end))
            number = np.full(len(order), int(slot), dtype=np.int64)
            orders.append(order.astype(np.int32))
            slots.append(number.astype(np.int8))
            times.append(writer.timing(order, number, at[order]))
        milliseconds = np.concatenate(times)
        by_time = np.argsort(milliseconds, kind="stable")
        timeline = _Timeline(
            np.concatenate(orders)[by_time],
            np.concatenate(slots)[by_time],
            milliseconds[by_time],
        )
        self._simulated = timeline, writer
        return self._simulated

    def _count_orders(self, life: Lifecycle, end: int) -> None:
        delivered = np.minimum(life.at[Slot.DELIVERED], life.at[Slot.DELIVERED_SCAN]) < end
        cancelled = ~delivered & (life.at[Slot.CANCELLED] < end)
        self._delivered_count = int(np.count_nonzero(delivered))
        self._cancelled_count = int(np.count_nonzero(cancelled))
        self._patient_count = len(np.unique(life.demand.patient))

    def _name_affected(
        self, affected: Affected, name: str, writer: MessageWriter, end: int
    ) -> IncidentTruth:
        def at(second: int) -> datetime:
            return self._clock.midnight + timedelta(seconds=second)

        rows = zip(
            affected.order.tolist(), affected.since.tolist(), affected.until.tolist(), strict=True
        )
        return IncidentTruth(
            name=name,
            struck=affected.struck,
            since=at(affected.period[0]),
            until=at(affected.period[1]),
            orders=tuple(
                AffectedOrder(
                    writer.order_id(order),
                    affected.stage,
                    at(since),
                    at(until) if until < min(end, NEVER) else None,
                )
                for order, since, until in rows
            ),
        )

    # ---------- how it arrives

    def _deliver(self, timeline: _Timeline) -> _Delivery:
        """Decide what is delivered when."""
        events = len(timeline.order)
        at = timeline.milliseconds
        plain = _Delivery(np.arange(events, dtype=np.int64), at, None, events, 0, 0, 0)
        duplicates, late = round(self._duplicates * events), round(self._late * events)
        malformed = round(self._malformed * events)
        if self._malformed > 0:
            malformed = max(malformed, len(ERROR_TYPES))
        if not (duplicates or late or malformed or self._shuffle):
            return plain
        settings, draws = self._settings, self._draws
        at = at.copy()
        delayed = draws.stream("delivery.late").permutation(events)[:late]
        at[delayed] += draws.seconds("delivery.late_delay", late, settings.late_delay) * 1000
        copies = draws.stream("delivery.duplicates").permutation(events)[:duplicates]
        again = draws.seconds("delivery.duplicate_delay", duplicates, settings.duplicate_delay)
        beside = draws.below("delivery.malformed", malformed, events)
        numbers = events + np.arange(malformed, dtype=np.int64)
        item = np.concatenate((plain.item, copies, numbers))
        at = np.concatenate((at, at[copies] + again * 1000, at[beside] + 1))
        altered = round(duplicates * settings.altered_duplicate_share)
        is_altered = np.zeros(len(item), dtype=np.bool_)
        is_altered[events : events + altered] = True
        if self._shuffle:
            arrival = draws.stream("delivery.shuffle").permutation(len(item))
        else:
            arrival = np.argsort(at, kind="stable")
        return replace(
            plain,
            item=item[arrival],
            at=at[arrival],
            is_altered=is_altered[arrival] if altered else None,
            duplicates=duplicates,
            late=late,
            malformed=malformed,
        )

    def _write(
        self,
        timeline: _Timeline,
        writer: MessageWriter,
        delivery: _Delivery,
        here: slice,
        refused: Counter[str],
    ) -> list[SimulatedMessage]:
        """Write the messages of one batch and count those that must be refused."""
        item = delivery.item[here]
        is_good = item < delivery.first_malformed
        event = item[is_good]
        altered = None if delivery.is_altered is None else delivery.is_altered[here][is_good]
        good = writer.write(
            timeline.order[event].astype(np.int64),
            timeline.slot[event].astype(np.int64),
            timeline.milliseconds[event],
            altered,
        )
        messages = [
            SimulatedMessage(
                text.encode(),
                {
                    "event_id": event_id,
                    "event_type": event_type,
                    "order_id": order_id,
                    "schema_version": "1",
                },
            )
            for text, event_id, event_type, order_id in zip(*good, strict=True)
        ]
        if len(event) == len(item):
            return messages
        times = writer.utc(delivery.at[here])
        following = iter(messages)
        return [
            next(following)
            if good
            else self._malformed_message(writer, number - delivery.first_malformed, time, refused)
            for good, number, time in zip(is_good.tolist(), item.tolist(), times, strict=True)
        ]

    def _malformed_message(
        self, writer: MessageWriter, number: int, at: str, refused: Counter[str]
    ) -> SimulatedMessage:
        event_id = f"EV-{writer.namespace}-bad-{number:07d}"
        order_id = writer.order_id(number % self._orders)
        refused[error_type_of(number)] += 1
        attributes = {
            "event_id": event_id,
            "event_type": "order_dispensed",
            "order_id": order_id,
            "schema_version": "1",
        }
        return SimulatedMessage(make_malformed(number, event_id, order_id, at), attributes)

    def _note(
        self, timeline: _Timeline, delivery: _Delivery, refused: Counter[str], sha256: str
    ) -> None:
        types = np.bincount(slot_types()[timeline.slot], minlength=len(EVENT_TYPES)).tolist()
        events = len(timeline.order)
        self._manifest = SimulationManifest(
            namespace=self.namespace,
            parameters=self.parameters,
            orders=self._orders,
            orders_delivered=self._delivered_count,
            orders_cancelled=self._cancelled_count,
            orders_open=self._orders - self._delivered_count - self._cancelled_count,
            patients=self._patient_count,
            events=events,
            events_by_type=dict(zip(EVENT_TYPES, types, strict=True)),
            distinct_event_ids=events,
            messages=len(delivery.item),
            duplicates=delivery.duplicates,
            late=delivery.late,
            malformed=delivery.malformed,
            malformed_by_error_type={kind: refused[kind] for kind in ERROR_TYPES if refused[kind]},
            sha256=sha256,
            incident=self._truth,
        )
