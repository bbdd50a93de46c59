"""The process: what happens to each order, and when.

Every step is one array operation over all orders. A time is in whole seconds from midnight UTC of
the window's first day; ``NEVER`` is the time of what does not happen.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np

from ingestion.simulator.clock import DAY, HOUR, LocalClock, within
from ingestion.simulator.demand import Demand, make_demand
from ingestion.simulator.draws import Bools, Draws, Floats, Ints
from ingestion.simulator.incidents import incident_period
from ingestion.simulator.people import PLACES_PER_STATE, People
from ingestion.simulator.reference import Reference
from ingestion.simulator.settings import Dwell, SimulatorSettings

NEVER: Final = 1 << 60
APPROVED: Final = 0
REJECTED: Final = 1
PENDING: Final = 2
SERVICE_LEVELS: Final = ("ground", "two_day", "overnight", "same_day")
EXCEPTION_LOST: Final = "lost"
EXCEPTION_WEATHER: Final = "weather_delay"


class Slot(IntEnum):
    """A place in an order's life that holds one event at most."""

    PLACED = 0
    ANSWER_1 = 1
    PRIOR_AUTH_SUBMITTED_1 = 2
    PRIOR_AUTH_DECIDED_1 = 3
    PRIOR_AUTH_SUBMITTED_2 = 4
    PRIOR_AUTH_DECIDED_2 = 5
    ANSWER_2 = 6
    ANSWER_3 = 7
    OUTAGE_ANSWER = 8
    DISPENSED = 9
    SHIPPED = 10
    INFO_RECEIVED = 11
    IN_TRANSIT_1 = 12
    IN_TRANSIT_2 = 13
    EXCEPTION = 14
    OUT_FOR_DELIVERY_1 = 15
    ATTEMPT_FAIL = 16
    AVAILABLE_FOR_PICKUP = 17
    OUT_FOR_DELIVERY_2 = 18
    DELIVERED_SCAN = 19
    DELIVERED = 20
    EXPIRED = 21
    CANCELLED = 22


ANSWERS: Final = (Slot.ANSWER_1, Slot.ANSWER_2, Slot.ANSWER_3, Slot.OUTAGE_ANSWER)
PRIOR_AUTHS: Final = (
    Slot.PRIOR_AUTH_SUBMITTED_1,
    Slot.PRIOR_AUTH_DECIDED_1,
    Slot.PRIOR_AUTH_SUBMITTED_2,
    Slot.PRIOR_AUTH_DECIDED_2,
)
SCANS: Final = (
    Slot.INFO_RECEIVED,
    Slot.IN_TRANSIT_1,
    Slot.IN_TRANSIT_2,
    Slot.EXCEPTION,
    Slot.OUT_FOR_DELIVERY_1,
    Slot.ATTEMPT_FAIL,
    Slot.AVAILABLE_FOR_PICKUP,
    Slot.OUT_FOR_DELIVERY_2,
    Slot.DELIVERED_SCAN,
    Slot.EXPIRED,
)
CANCEL_REASONS: Final = ("prior_authorization_denied", "not_covered", "abandoned_copay")


@dataclass(frozen=True)
class Affected:
    """Orders that an incident touched, before they have names."""

    stage: str
    struck: str
    period: tuple[int, int]
    order: Ints
    since: Ints
    until: Ints


@dataclass
class Lifecycle:
    """What happens to each order.

    Attributes:
        demand: Orders and patients.
        at: Time of each slot, for each order.
        answer_status: Status of each of the four answers.
        answer_code: Position of its reject code, -1 for none.
        is_prior_auth_approved: First decision and decision on appeal.
        copay_cents: What the patient pays.
        plan_paid_cents: What the plan pays.
        priority: Position in the settings' priorities.
        service: Position in ``SERVICE_LEVELS``.
        carrier: Position in the seed.
        is_cold: Whether the shipment is refrigerated.
        promised: Promised delivery.
        arrived: When the parcel was really handed over.
        has_delivered_at: Whether the delivery event carries it.
        exception_code: Position in ``exception_codes``.
        exception_codes: Codes of exceptions.
        minutes_out_of_range: 0 where the parcel stayed cold.
        cancel_reason: Position in ``cancel_reasons``.
        cancel_reasons: All reasons.
        affected: What the incident did, if there is one.
    """

    demand: Demand
    at: dict[Slot, Ints] = field(default_factory=dict)
    answer_status: dict[Slot, Ints] = field(default_factory=dict)
    answer_code: dict[Slot, Ints] = field(default_factory=dict)
    is_prior_auth_approved: dict[Slot, Bools] = field(default_factory=dict)
    copay_cents: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    plan_paid_cents: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    priority: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    service: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    carrier: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    is_cold: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    promised: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    arrived: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    has_delivered_at: Bools = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    exception_code: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    exception_codes: tuple[str, ...] = ()
    minutes_out_of_range: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    cancel_reason: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    cancel_reasons: tuple[str, ...] = ()
    affected: Affected | None = None


def after(base: Ints, seconds: Ints | int) -> Ints:
    """Return the time so many seconds later, ``NEVER`` after ``NEVER``."""
    return np.where(base >= NEVER, NEVER, base + seconds)


def only(condition: Bools, at: Ints) -> Ints:
    """Return the time where the condition holds, else ``NEVER``."""
    return np.where(condition, at, NEVER)


class Process:
    """Runs the model once.

    Args:
        draws: The run's random streams.
        orders: How many orders.
        clock: Local time at the pharmacies.
        days: Length of the window.
        people: Pools of names and places.
        reference: The seeds.
        settings: The parameters.
        incident: Name of an incident, or None.
    """

    def __init__(
        self,
        draws: Draws,
        orders: int,
        clock: LocalClock,
        days: int,
        people: People,
        reference: Reference,
        settings: SimulatorSettings,
        incident: str | None = None,
    ) -> None:
        self._draws = draws
        self._count = orders
        self._clock = clock
        self._end = days * DAY
        self._reference = reference
        self._settings = settings
        self._incident = incident
        self._period = (0, 0)
        if incident is not None:
            self._period = incident_period(incident, days, clock.start_weekday, settings)
        demand = make_demand(draws, orders, clock, days, people, reference, settings)
        self._result = Lifecycle(demand)
        patient = demand.patient
        self._pharmacy = demand.patients.pharmacy[patient]
        self._payer = demand.patients.payer[patient]
        self._drug = demand.patients.drug[patient]
        self._state = demand.patients.place[patient] // PLACES_PER_STATE
        self._is_centralised = demand.patients.is_centralised[patient]
        self._needs_intervention = np.zeros(orders, dtype=np.bool_)
        self._speed = np.ones(orders, dtype=np.float64)
        self._approved = np.full(orders, NEVER, dtype=np.int64)
        self._cancel = np.full(orders, NEVER, dtype=np.int64)
        self._touched: tuple[str, str, Bools, Ints, Ints] | None = None

    def run(self) -> Lifecycle:
        """Let every order live its life."""
        self._place()
        self._insure()
        self._price()
        self._dispense()
        self._ship()
        self._deliver()
        self._scan()
        self._cool()
        self._finish()
        self._tell_truth()
        return self._result

    # ---------- helpers

    def _chance(self, question: str, share: float | Floats) -> Bools:
        return self._draws.chance(question, self._count, share)

    def _uniform(self, question: str) -> Floats:
        return self._draws.uniform(question, self._count)

    def _seconds(self, question: str, dwell: Dwell) -> Ints:
        """Draw a dwell, faster for urgent orders."""
        drawn = self._draws.seconds(question, self._count, dwell)
        return (drawn * self._speed).astype(np.int64) + 1

    def _carrier_seconds(self, question: str, dwell: Dwell) -> Ints:
        return self._draws.seconds(question, self._count, dwell)

    def _pick(self, question: str, weights: list[float]) -> Ints:
        return self._draws.pick(question, self._count, weights)

    def _busiest(self, positions: Ints, names: list[str]) -> tuple[int, str]:
        """Return what most orders have: an incident there is worth looking at."""
        chosen = int(np.argmax(np.bincount(positions, minlength=len(names))))
        return chosen, names[chosen]

    # ---------- steps

    def _place(self) -> None:
        result, settings = self._result, self._settings
        result.at[Slot.PLACED] = result.demand.placed
        result.priority = self._pick("order.priority", list(settings.priority_weights.values()))
        speeds = [settings.priority_speed.get(name, 1.0) for name in settings.priority_weights]
        self._speed = np.array(speeds, dtype=np.float64)[result.priority]

    def _answer(self, slot: Slot, at: Ints, status: Ints, code: Ints) -> Ints:
        """Note a payer's answer, put off while the payer is out of service."""
        result = self._result
        if self._incident == "payer_outage":
            names = [payer.payer_id for payer in self._reference.payers]
            struck, name = self._busiest(self._payer[~self._is_cash()[self._payer]], names)
            hit = (self._payer == struck) & within(at, self._period)
            backlog = self._seconds(f"outage.{slot}", self._settings.outage_backlog)
            put_off = np.where(hit, self._period[1] + backlog, at)
            before = result.at.get(Slot.OUTAGE_ANSWER, np.full(self._count, NEVER, dtype=np.int64))
            result.at[Slot.OUTAGE_ANSWER] = np.where(hit, at, before)
            if self._touched is None:
                stage = "placed_to_approved"
                self._touched = (stage, name, hit, only(hit, at), only(hit, put_off))
            else:
                stage, name, old, since, until = self._touched
                since, until = np.where(hit, at, since), np.where(hit, put_off, until)
                self._touched = (stage, name, old | hit, since, until)
            at = put_off
        result.at[slot] = at
        result.answer_status[slot] = status
        result.answer_code[slot] = np.where(status == REJECTED, code, -1)
        return at

    def _is_cash(self) -> Bools:
        """Return which payers are none: the patient pays."""
        return np.array([p.payer_type == "cash" for p in self._reference.payers], dtype=np.bool_)

    def _insure(self) -> None:
        settings, result = self._settings, self._result
        is_refill = result.demand.is_refill
        is_insured = ~self._is_cash()[self._payer]
        prior_auth = np.where(is_refill, settings.prior_auth_refill, settings.prior_auth_new)
        needs_prior_auth = self._chance("claim.prior_auth", prior_auth) & is_insured
        reject = np.where(is_refill, settings.reject_refill, settings.reject_new)
        is_rejected = self._chance("claim.reject", reject) & is_insured & ~needs_prior_auth
        is_clean = ~needs_prior_auth & ~is_rejected
        waits = np.where(needs_prior_auth, settings.prior_auth_pending_share, 0.0)
        waits = np.where(is_clean & is_insured, settings.pending_share, waits)
        is_pending = self._chance("claim.pending", waits)
        self._needs_intervention = needs_prior_auth | is_rejected

        codes = [row.reject_code for row in self._reference.reject_codes]
        mix = [settings.reject_weights.get(code, 0.0) for code in codes]
        other_code = self._pick("claim.code", mix)
        code_75, code_3x = codes.index("75"), codes.index("3X")
        code = np.where(needs_prior_auth, code_75, other_code)
        status = np.where(self._needs_intervention, REJECTED, APPROVED)
        status = np.where(is_pending, PENDING, status)
        placed = result.at[Slot.PLACED]
        first = after(placed, self._seconds("claim.answer_1", settings.claim_answer))
        first = self._answer(Slot.ANSWER_1, first, status, code)

        granted, denied = self._authorise(only(needs_prior_auth, first))
        fix = self._fix_seconds(other_code, "claim.fix_1")
        pending = self._seconds("claim.pending_answer", settings.pending_answer)
        second = np.where(is_rejected, after(first, fix), NEVER)
        second = np.where(is_clean & is_pending, after(first, pending), second)
        again = self._seconds("claim.answer_2", settings.claim_answer)
        second = np.where(granted < NEVER, after(granted, again), second)
        not_found = (granted < NEVER) & self._chance(
            "claim.not_found", settings.authorisation_not_found
        )
        fails_again = is_rejected & ~self._chance(
            "claim.second_approved", settings.second_answer_approved
        )
        status_2 = np.where(not_found | fails_again, REJECTED, APPROVED)
        code_2 = np.where(not_found, code_3x, other_code)
        second = self._answer(Slot.ANSWER_2, second, status_2, code_2)

        fix_2 = self._fix_seconds(np.where(not_found, code_3x, other_code), "claim.fix_2")
        third = only(not_found | fails_again, after(second, fix_2))
        fails = fails_again & ~self._chance("claim.third_approved", settings.third_answer_approved)
        third = self._answer(Slot.ANSWER_3, third, np.where(fails, REJECTED, APPROVED), other_code)

        first_good = only(is_clean & ~is_pending, first)
        second_good = only(status_2 == APPROVED, second)
        self._approved = np.minimum(np.minimum(first_good, second_good), only(~fails, third))
        give_up = self._seconds("cancel.denied", settings.cancel_after_denial)
        self._call_off(after(denied, give_up), 0)
        self._call_off(after(only(fails, third), give_up), 1)

        outage = np.full(self._count, NEVER, dtype=np.int64)
        result.at.setdefault(Slot.OUTAGE_ANSWER, outage)
        result.answer_status[Slot.OUTAGE_ANSWER] = np.full(self._count, REJECTED, dtype=np.int64)
        result.answer_code[Slot.OUTAGE_ANSWER] = np.full(
            self._count, codes.index("92"), dtype=np.int64
        )

    def _fix_seconds(self, code: Ints, question: str) -> Ints:
        """Draw how long it takes whoever has to act on a reject code."""
        actors = [row.actor for row in self._reference.reject_codes]
        seconds = self._seconds(question, self._settings.fix_by_unknown)
        for actor, dwell in self._settings.fix_by_actor.items():
            is_theirs = np.array([name == actor for name in actors])[code]
            seconds = np.where(is_theirs, self._seconds(question, dwell), seconds)
        return seconds

    def _authorise(self, asked: Ints) -> tuple[Ints, Ints]:
        """Let a prior authorisation be decided, on appeal if need be.

        Returns:
            When it was granted and when it was denied for good.
        """
        settings, result = self._settings, self._result
        paperwork = self._seconds("prior_auth.paperwork", settings.prior_auth_paperwork)
        usual = self._seconds("prior_auth.decision", settings.decision_usual)
        central = self._seconds("prior_auth.decision", settings.decision_centralised)
        submitted = after(asked, paperwork)
        decided = after(submitted, np.where(self._is_centralised, central, usual))
        approved_first = settings.prior_auth_approved_first
        is_granted = self._chance("prior_auth.granted", approved_first)
        appeals = ~is_granted & self._chance("prior_auth.appeal", settings.prior_auth_appeal_share)
        wins = (settings.prior_auth_approved_finally - approved_first) / max(
            (1 - approved_first) * settings.prior_auth_appeal_share, 1e-9
        )
        is_granted_2 = self._chance("prior_auth.appeal_granted", wins)
        appeal = self._seconds("prior_auth.prepare_appeal", settings.prior_auth_appeal)
        submitted_2 = only(appeals, after(decided, appeal))
        second = self._seconds("prior_auth.second_decision", settings.decision_centralised)
        decided_2 = after(submitted_2, second)
        result.at[Slot.PRIOR_AUTH_SUBMITTED_1] = submitted
        result.at[Slot.PRIOR_AUTH_DECIDED_1] = decided
        result.at[Slot.PRIOR_AUTH_SUBMITTED_2] = submitted_2
        result.at[Slot.PRIOR_AUTH_DECIDED_2] = decided_2
        result.is_prior_auth_approved[Slot.PRIOR_AUTH_DECIDED_1] = is_granted
        result.is_prior_auth_approved[Slot.PRIOR_AUTH_DECIDED_2] = is_granted_2
        granted = np.minimum(only(is_granted, decided), only(is_granted_2, decided_2))
        denied = np.where(appeals, only(~is_granted_2, decided_2), only(~is_granted, decided))
        return granted, denied

    def _call_off(self, at: Ints, reason: int | Ints) -> None:
        """Cancel orders, unless something else did so earlier."""
        if len(self._result.cancel_reason) == 0:
            self._result.cancel_reason = np.zeros(self._count, dtype=np.int64)
        is_first = at < self._cancel
        self._result.cancel_reason = np.where(is_first, reason, self._result.cancel_reason)
        self._cancel = np.minimum(self._cancel, at)

    def _price(self) -> None:
        settings, result = self._settings, self._result
        bands = settings.copay_bands
        new = self._pick("copay.band", [band.new_share for band in bands])
        refill = self._pick("copay.band", [band.refill_share for band in bands])
        band = np.where(result.demand.is_refill, refill, new)
        types = [payer.payer_type for payer in self._reference.payers]
        is_medicaid = np.array([kind == "medicaid" for kind in types])[self._payer]
        low = np.array([band.low for band in bands], dtype=np.int64)[band] * 100
        high = np.array([band.high for band in bands], dtype=np.int64)[band] * 100
        low = np.where(is_medicaid, 0, low)
        high = np.where(is_medicaid, settings.medicaid_copay_high * 100, high)
        copay = low + (self._uniform("copay.amount") * (high - low)).astype(np.int64)
        result.copay_cents = copay
        medians = [
            settings.plan_paid_usd.get(drug.therapeutic_area, 5800.0)
            for drug in self._reference.drugs
        ]
        median = np.array(medians, dtype=np.float64)[self._drug] * 100
        paid = median * self._draws.factor("plan_paid", self._count, settings.plan_paid_sigma)
        is_cash = self._is_cash()[self._payer]
        result.plan_paid_cents = np.where(is_cash, 0, paid.astype(np.int64))
        shares = np.array([band.abandoned for band in bands], dtype=np.float64)[band]
        shares = np.where(is_medicaid, bands[0].abandoned, shares)
        self._abandons = self._chance("copay.abandoned", shares)

    def _dispense(self) -> None:
        settings, result = self._settings, self._result
        clean = self._seconds("fill", settings.fill_clean)
        central = self._seconds("fill", settings.fill_centralised)
        usual = self._seconds("fill", settings.fill_usual)
        after_trouble = np.where(self._is_centralised, central, usual)
        fill = np.where(self._needs_intervention, after_trouble, clean)
        dispensed = self._in_working_hours("fill.hours", after(self._approved, fill))
        dispensed = np.maximum(dispensed, after(self._approved, 600))
        if self._incident == "stuck_at_dispensing":
            names = [pharmacy.pharmacy_id for pharmacy in self._reference.pharmacies]
            struck, name = self._busiest(self._pharmacy, names)
            hit = (self._pharmacy == struck) & within(dispensed, self._period)
            backlog = self._seconds("stuck.backlog", settings.dispensing_backlog)
            put_off = np.where(hit, self._period[1] + backlog, dispensed)
            self._touched = (
                "approved_to_dispensed",
                name,
                hit,
                only(hit, dispensed),
                only(hit, put_off),
            )
            dispensed = put_off
        result.at[Slot.DISPENSED] = dispensed

    def _in_working_hours(self, question: str, at: Ints) -> Ints:
        names = list(self._settings.priority_weights)
        is_urgent = np.array([name == "stat" for name in names])[self._result.priority]
        known = np.where(at >= NEVER, 0, at)
        spread = self._uniform(question)
        hours = self._settings.warehouse_hours
        moved = self._clock.into_hours(self._pharmacy, known, hours, spread)
        return np.where((at >= NEVER) | is_urgent, at, moved)

    def _ship(self) -> None:
        settings, result = self._settings, self._result
        dispensed = result.at[Slot.DISPENSED]
        packing = self._seconds("packing", settings.packing)
        shipped = self._in_working_hours("packing.hours", after(dispensed, packing))
        shipped = np.maximum(shipped, after(dispensed, 300))
        result.at[Slot.SHIPPED] = shipped
        refrigerated = np.array([drug.is_refrigerated for drug in self._reference.drugs])
        result.is_cold = refrigerated[self._drug]
        service = np.zeros(self._count, dtype=np.int64)
        for position, priority in enumerate(settings.priority_weights):
            for is_cold in (False, True):
                weights = settings.service_weights.get(
                    f"{priority}_cold" if is_cold else priority,
                    settings.service_weights.get(priority, {"overnight": 1.0}),
                )
                picked = self._pick("service", [weights.get(s, 0.0) for s in SERVICE_LEVELS])
                here = (result.priority == position) & (result.is_cold == is_cold)
                service = np.where(here, picked, service)
        result.service = service
        result.carrier = self._pick(
            "carrier",
            [settings.carrier_weights.get(c.carrier_id, 0.1) for c in self._reference.carriers],
        )
        days = np.array([settings.service_days.get(s, 0) for s in SERVICE_LEVELS])[service]
        hour = np.array([settings.service_hour.get(s, 20) for s in SERVICE_LEVELS])[service]
        known = np.where(shipped >= NEVER, 0, shipped)
        promised = self._clock.at_hour(self._pharmacy, known, days, hour)
        promised = np.where(days == 0, known + settings.same_day_hours * HOUR, promised)
        result.promised = np.where(shipped >= NEVER, NEVER, promised)
        self._stop_before_shipping()

    def _stop_before_shipping(self) -> None:
        """Cancel what patients and prescribers call off, at the latest on the way out."""
        settings, result = self._settings, self._result
        placed, shipped = result.at[Slot.PLACED], result.at[Slot.SHIPPED]
        refusal = after(self._approved, self._seconds("cancel.price", settings.cancel_after_price))
        refusal = np.minimum(refusal, shipped - 60)
        self._call_off(only(self._abandons & (shipped < NEVER), refusal), 2)
        is_stopped = self._chance("cancel.any", settings.cancelled_share) & (shipped < NEVER)
        length = np.where(is_stopped, shipped - placed, 0)
        moment = placed + 1 + (self._uniform("cancel.moment") * (length * 0.99)).astype(np.int64)
        reason = self._pick("cancel.reason", list(settings.cancel_reason_weights.values()))
        self._call_off(only(is_stopped, moment), reason + len(CANCEL_REASONS))
        result.cancel_reasons = (*CANCEL_REASONS, *settings.cancel_reason_weights)
        result.at[Slot.CANCELLED] = self._cancel
        for slot in (s for s in result.at if s is not Slot.CANCELLED):
            result.at[slot] = only(result.at[slot] < self._cancel, result.at[slot])

    def _deliver(self) -> None:
        settings, result = self._settings, self._result
        shipped = np.where(result.at[Slot.SHIPPED] >= NEVER, 0, result.at[Slot.SHIPPED])
        promised = np.where(result.at[Slot.SHIPPED] >= NEVER, 12 * HOUR, result.promised)
        rates = np.array([c.on_time_rate for c in self._reference.carriers], dtype=np.float64)
        is_on_time = self._chance("delivery.on_time", rates[result.carrier])
        spans = [settings.delivery_span_hours.get(s, 6) for s in SERVICE_LEVELS]
        span = np.array(spans, dtype=np.int64)[result.service] * HOUR
        early = np.where(
            (result.service == SERVICE_LEVELS.index("ground"))
            & self._chance("delivery.early", settings.ground_early_share),
            DAY,
            0,
        )
        good = promised - early - (self._uniform("delivery.hour") * span).astype(np.int64)
        good = np.minimum(np.maximum(good, shipped + HOUR), promised - 1)
        late = promised + self._carrier_seconds("delivery.late", settings.lateness)
        late = self._clock.into_hours(
            self._pharmacy, late, settings.delivery_hours, self._uniform("delivery.late_hour")
        )
        late = np.maximum(late, promised + 600)
        arrived = np.where(is_on_time, good, late)

        trouble = self._uniform("delivery.trouble")
        fails = ~is_on_time & (trouble < settings.late_attempt_failed)
        excepted = ~is_on_time & ~fails
        excepted &= trouble < settings.late_attempt_failed + settings.late_exception
        excepted |= is_on_time & (trouble < settings.on_time_exception)
        lost = self._chance("delivery.lost", settings.lost_share)
        codes = list(settings.exception_weights)
        for extra in (EXCEPTION_WEATHER, EXCEPTION_LOST):
            if extra not in codes:
                codes.append(extra)
        result.exception_codes = tuple(codes)
        weights = [settings.exception_weights.get(name, 0.0) for name in codes]
        code = np.where(lost, codes.index(EXCEPTION_LOST), self._pick("exception.code", weights))
        low, high = settings.exception_moment
        part = low + self._uniform("exception.moment") * (high - low)
        exception = shipped + (part * (arrived - shipped)).astype(np.int64)
        attempt = promised - (self._uniform("attempt.moment") * 3 * HOUR).astype(np.int64)
        attempt = np.maximum(attempt, shipped + HOUR // 2)

        if self._incident == "winter_storm":
            hit, put_off, moment = self._close_roads(shipped, only(~lost, arrived))
            exception = np.where(hit, moment, exception)
            code = np.where(hit, codes.index(EXCEPTION_WEATHER), code)
            arrived = np.where(hit, put_off, arrived)
            excepted |= hit
            fails &= ~hit

        has_left = result.at[Slot.SHIPPED] < NEVER
        result.exception_code = code
        result.at[Slot.EXCEPTION] = only(has_left & (excepted | lost), exception)
        result.at[Slot.ATTEMPT_FAIL] = only(has_left & fails & ~lost, attempt)
        gives_up = shipped + settings.lost_expires_hours * HOUR
        result.at[Slot.EXPIRED] = only(has_left & lost, gives_up)
        result.arrived = only(has_left & ~lost, arrived)

    def _close_roads(self, shipped: Ints, arrived: Ints) -> tuple[Bools, Ints, Ints]:
        """Put off what would arrive in the region while the storm lasts.

        Returns:
            Which parcels wait, when they arrive, and when the carrier says so.
        """
        settings = self._settings
        region = settings.storm_region
        is_closed = np.array([state.region == region for state in settings.states.values()])
        has_left = self._result.at[Slot.SHIPPED] < NEVER
        hit = is_closed[self._state] & within(arrived, self._period) & has_left
        backlog = self._period[1] + self._carrier_seconds("storm.backlog", settings.storm_backlog)
        spread = self._uniform("storm.hour")
        put_off = self._clock.into_hours(self._pharmacy, backlog, settings.delivery_hours, spread)
        put_off = np.maximum(put_off, self._period[1])
        since = np.maximum(self._period[0], shipped + 600)
        known = np.where(hit, arrived, since)
        moment = since + (self._uniform("storm.moment") * (known - since)).astype(np.int64)
        self._touched = ("shipped_to_delivered", region, hit, only(hit, since), put_off)
        return hit, put_off, moment

    def _scan(self) -> None:
        settings, result = self._settings, self._result
        has_left = result.at[Slot.SHIPPED] < NEVER
        shipped = np.where(has_left, result.at[Slot.SHIPPED], 0)
        attempt, arrived = result.at[Slot.ATTEMPT_FAIL], result.arrived
        first_try = np.minimum(np.minimum(attempt, arrived), shipped + 30 * DAY)
        travel = np.maximum(first_try - shipped, 600)

        def on_the_way(question: str, part: tuple[float, float]) -> Ints:
            low, high = part
            share = low + self._uniform(question) * (high - low)
            at: Ints = shipped + (share * travel).astype(np.int64)
            return at

        label = self._chance("scan.label", settings.info_received_share)
        result.at[Slot.INFO_RECEIVED] = only(has_left & label, shipped + 120)
        result.at[Slot.IN_TRANSIT_1] = only(
            has_left, on_the_way("scan.first", settings.first_scan_moment)
        )
        second = result.is_cold | self._chance("scan.second", settings.second_scan_share)
        result.at[Slot.IN_TRANSIT_2] = only(
            has_left & second & (arrived < NEVER),
            on_the_way("scan.second_at", settings.second_scan_moment),
        )
        back = np.minimum((travel * 0.1).astype(np.int64), 5 * HOUR)
        out = self._chance("scan.out", settings.out_for_delivery_share) & (arrived < NEVER)
        before = 60 + (self._uniform("scan.out_at") * back).astype(np.int64)
        result.at[Slot.OUT_FOR_DELIVERY_1] = only(has_left & out, first_try - before)
        failed = attempt < NEVER
        known_attempt = np.where(failed, attempt, 0)
        known_arrival = np.where(failed, arrived, HOUR)
        gap = known_arrival - known_attempt
        is_picked_up = failed & self._chance("scan.pickup", settings.pickup_share)
        ready = known_attempt + np.minimum(2 * HOUR, gap // 2)
        result.at[Slot.AVAILABLE_FOR_PICKUP] = only(is_picked_up, ready)
        again = known_arrival - np.minimum(3 * HOUR, gap // 3)
        result.at[Slot.OUT_FOR_DELIVERY_2] = only(failed & ~is_picked_up, again)
        silent = self._chance("delivered.unreported", settings.unreported_share)
        scanned = self._chance("delivered.scan", settings.delivered_scan_share) | silent
        result.at[Slot.DELIVERED_SCAN] = only(scanned, arrived)
        result.has_delivered_at = self._chance("delivered.at", settings.delivered_at_share)
        delay = 30 + self._draws.below(
            "delivered.delay", self._count, settings.report_delay_minutes * 60
        )
        reported = after(arrived, np.where(result.has_delivered_at, delay, 0))
        result.at[Slot.DELIVERED] = only(~silent, reported)

    def _cool(self) -> None:
        settings, result = self._settings, self._result
        has_left = result.at[Slot.SHIPPED] < NEVER
        is_warm = result.is_cold & self._chance("cold.excursion", settings.excursion_share)
        seconds = self._carrier_seconds("cold.length", settings.excursion_length)
        minutes = np.where(is_warm, seconds // 60 + 1, 0)
        if self._incident == "cold_chain_failure":
            shipped = result.at[Slot.SHIPPED]
            names = [pharmacy.pharmacy_id for pharmacy in self._reference.pharmacies]
            cold = np.flatnonzero(result.is_cold & within(shipped, self._period))
            struck, name = self._busiest(self._pharmacy[cold], names)
            hit = (self._pharmacy == struck) & result.is_cold & within(shipped, self._period)
            hit &= has_left
            failure = self._carrier_seconds("cold.failure", settings.failure_length) // 60 + 1
            minutes = np.where(hit, np.maximum(minutes, failure), minutes)
            self._touched = (
                "shipped_to_delivered",
                name,
                hit,
                only(hit, shipped),
                only(hit, result.arrived),
            )
        result.minutes_out_of_range = minutes

    def _finish(self) -> None:
        """Take away the scans that a carrier lost."""
        if self._incident != "lost_scans":
            return
        result = self._result
        shipped = result.at[Slot.SHIPPED]
        names = [carrier.carrier_id for carrier in self._reference.carriers]
        struck, name = self._busiest(result.carrier[shipped < NEVER], names)
        since = np.full(self._count, NEVER, dtype=np.int64)
        for slot in (*SCANS, Slot.DELIVERED):
            at = result.at[slot]
            hit = (result.carrier == struck) & within(at, self._period)
            since = np.minimum(since, only(hit, at))
            result.at[slot] = only(~hit, at)
        touched = since < NEVER
        until = np.full(self._count, self._period[1], dtype=np.int64)
        self._touched = ("shipped_to_delivered", name, touched, since, only(touched, until))

    def _tell_truth(self) -> None:
        if self._touched is None:
            return
        stage, struck, hit, since, until = self._touched
        cancelled = self._result.at[Slot.CANCELLED]
        order = np.flatnonzero(hit & (since < self._end) & (since < cancelled))
        until = np.minimum(until, cancelled)[order]
        self._result.affected = Affected(stage, struck, self._period, order, since[order], until)
