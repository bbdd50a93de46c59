"""The order simulator: what it promises about bytes, about pharmacies and about broken feeds."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.events import (
    EVENT_TYPES,
    DeadLetter,
    ErrorType,
    Field,
    Kind,
    Message,
    Pseudonymiser,
    RawOrder,
    check_message,
)
from ingestion.generate_pbm_orders import (
    DEFAULT_START,
    INCIDENTS,
    OrderSimulation,
    SimulatedMessage,
    SimulationManifest,
)
from ingestion.simulator.clock import DAY, HOUR, LocalClock
from ingestion.simulator.draws import Draws, lognormal_quantiles
from ingestion.simulator.malformed import MALFORMED
from ingestion.simulator.people import npi
from ingestion.simulator.reference import SEEDS_FOLDER, load_reference
from ingestion.simulator.settings import Dwell, SimulatorSettings
from pbm.errors import InputError

PSEUDONYMISER = Pseudonymiser("0123456789abcdef0123456789abcdef", 1)
REFERENCE = load_reference()
SETTINGS = SimulatorSettings()
ZONES = {pharmacy.pharmacy_id: ZoneInfo(pharmacy.time_zone) for pharmacy in REFERENCE.pharmacies}


class Run(NamedTuple):
    messages: list[SimulatedMessage]
    manifest: SimulationManifest


class Event(NamedTuple):
    event_id: str
    type: str
    at: datetime
    order_id: str
    data: dict[str, Any]


@cache
def run(**parameters: Any) -> Run:
    simulation = OrderSimulation(**parameters)
    messages = [message for batch in simulation.batches() for message in batch]
    return Run(messages, simulation.manifest())


def listed(value: object) -> str:
    return re.sub("[ -]", "_", str(value).strip(" \t\r\n").lower())


def identifier(value: object) -> str:
    return str(value).strip(" \t\r\n").lower()


def instant(text: str) -> datetime:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text), text
    return datetime.fromisoformat(text).astimezone(UTC)


def parse(data: bytes) -> Event:
    envelope = json.loads(data)
    return Event(
        envelope["event_id"],
        listed(envelope["event_type"]),
        instant(envelope["event_timestamp"]),
        envelope["order_id"],
        envelope["data"],
    )


@cache
def events(**parameters: Any) -> list[Event]:
    return [parse(message.data) for message in run(**parameters).messages]


def orders_of(every: Iterable[Event]) -> dict[str, list[Event]]:
    orders: dict[str, list[Event]] = defaultdict(list)
    for event in every:
        orders[event.order_id].append(event)
    return orders


class Order:
    """What the facts would say of one order."""

    def __init__(self, history: list[Event]) -> None:
        self.history = history

    def first(self, event_type: str, status: str | None = None) -> Event | None:
        for event in self.history:
            if event.type == event_type and status in (None, listed(event.data.get("status"))):
                return event
        return None

    def all(self, event_type: str) -> list[Event]:
        return [event for event in self.history if event.type == event_type]

    @property
    def placed(self) -> Event:
        return self.history[0]

    @property
    def is_refill(self) -> bool:
        return listed(self.placed.data["channel"]) == "refill"

    @property
    def pharmacy(self) -> str:
        return identifier(self.placed.data["pharmacy_id"])

    @property
    def needed_prior_auth(self) -> bool:
        return self.first("prior_authorization") is not None

    @property
    def needed_intervention(self) -> bool:
        rejected = self.first("insurance_validation", "rejected") is not None
        return rejected or self.needed_prior_auth

    @property
    def delivered_at(self) -> datetime | None:
        delivered = self.first("order_delivered")
        if delivered is None:
            scan = self.first("shipment_scanned", "delivered")
            return None if scan is None else scan.at
        text = delivered.data.get("delivered_at")
        return delivered.at if text is None else instant(text)

    @property
    def is_on_time(self) -> bool | None:
        shipped, delivered_at = self.first("order_shipped"), self.delivered_at
        if shipped is None or delivered_at is None:
            return None
        return delivered_at <= instant(shipped.data["promised_delivery_at"])


# Sixty days, so that the orders of the first weeks have ended: long stages are not cut off.
LONG = {"orders": 24_000, "seed": 11, "days": 60}
PLAIN = {"orders": 3_000, "seed": 5}


@cache
def long_orders() -> list[Order]:
    return [Order(history) for history in orders_of(events(**LONG)).values()]


@cache
def settled_orders() -> list[Order]:
    """Orders of the first 25 of 60 days."""
    until = datetime(2026, 1, 30, tzinfo=UTC)
    return [order for order in long_orders() if order.placed.at < until]


def share(part: int, whole: int) -> float:
    assert whole > 0
    return part / whole


# -- the contract --------------------------------------------------------------------------------


def test_ingestion_accepts_every_message() -> None:
    publish_time = datetime(2026, 2, 4, tzinfo=UTC)
    for message in run(**PLAIN).messages:
        row = check_message(
            Message("m", message.data, message.attributes, publish_time), PSEUDONYMISER
        )
        assert isinstance(row, RawOrder), row
        assert row.attributes == {
            "event_id": row.event_id,
            "event_type": row.event_type,
            "order_id": row.order_id,
            "schema_version": "1",
        }
        assert row.source_system == EVENT_TYPES[row.event_type].sent_by
        assert (row.patient_key is not None) == (row.event_type == "order_placed")


def test_a_message_is_one_compact_line_of_utf8() -> None:
    for message in run(**PLAIN).messages:
        assert b"\n" not in message.data
        assert b"\r" not in message.data
        assert b'": ' not in message.data
        assert b', "' not in message.data


def test_some_names_have_letters_outside_ascii() -> None:
    names = [e.data["patient"]["first_name"] for e in events(**PLAIN) if e.type == "order_placed"]
    assert 0.01 < share(sum(not name.isascii() for name in names), len(names)) < 0.2


NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")


def is_readable(value: object, field: Field) -> bool:  # noqa: PLR0911 - one for each kind
    """Return whether silver can read a value, and so without a flag."""
    text = str(value).strip(" \t\r\n")
    match field.kind:
        case Kind.LISTED_CODE:
            return listed(value) in field.codes
        case Kind.NUMBER | Kind.MONEY:
            if isinstance(value, bool) or not NUMBER.fullmatch(text):
                return False
            return field.decimals != 0 or Decimal(text) == int(Decimal(text))
        case Kind.BOOLEAN:
            return isinstance(value, bool) or text.lower() in {"true", "false"}
        case Kind.TIMESTAMP:
            return bool(instant(text))
        case Kind.NDC:
            forms = r"\d{4}-\d{4}-\d\d|\d{5}-\d{3}-\d\d|\d{5}-\d{4}-\d{1,2}|\d{11}"
            return re.fullmatch(forms, text) is not None
        case Kind.ZIP:
            return re.fullmatch(r"\d{5}|\d{9}|\d{5}-\d{4}", text) is not None
        case Kind.BIRTH_DATE:
            return bool(date.fromisoformat(text))
        case _:
            return isinstance(value, str | int) and text != ""


def leaves(data: dict[str, Any], fields: tuple[Field, ...]) -> list[tuple[Field, object]]:
    """Return each field the contract names with its value, None where it is absent."""
    found: list[tuple[Field, object]] = []
    for field in fields:
        if field.kind is Kind.OBJECT:
            found += leaves(data[field.name], field.fields)
        else:
            found.append((field, data.get(field.name)))
    return found


def test_every_value_can_be_read_but_for_the_documented_shares() -> None:
    unreadable: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for event in events(**LONG):
        for field, value in leaves(event.data, EVENT_TYPES[event.type].fields):
            if value is None:
                missing[field.name] += field.is_expected
            elif not is_readable(value, field):
                unreadable[field.name] += 1
    placed = LONG["orders"]
    assert unreadable.keys() == {"ndc"}
    assert unreadable["ndc"] / placed == pytest.approx(SETTINGS.unreadable_ndc_share, rel=0.4)
    assert {name for name, count in missing.items() if count} == {"payer_id"}
    assert missing["payer_id"] / placed == pytest.approx(SETTINGS.missing_payer_share, rel=0.4)


def test_no_event_has_a_field_that_the_contract_does_not_name() -> None:
    for event in events(**PLAIN):
        fields = {field.name: field for field in EVENT_TYPES[event.type].fields}
        assert event.data.keys() <= fields.keys()
        if event.type == "order_placed":
            named = {field.name for field in fields["patient"].fields}
            assert event.data["patient"].keys() == named


def test_values_come_in_more_than_one_form() -> None:
    raw: dict[str, set[str]] = defaultdict(set)
    kinds: dict[str, set[type]] = defaultdict(set)
    for message in run(**PLAIN).messages:
        envelope = json.loads(message.data)
        raw["event_type"].add(envelope["event_type"])
        raw["offset"].add(re.sub(r".*\d\d:\d\d:\d\d(\.\d+)?", "", envelope["event_timestamp"]))
        raw["version"].add(str("schema_version" in envelope))
        data = envelope["data"]
        if "status" in data and listed(data["status"]) == "out_for_delivery":
            raw["status"].add(data["status"])
        for name in ("quantity", "copay_amount", "cold_chain", "temperature_c"):
            if name in data:
                kinds[name].add(type(data[name]))
        if "ndc" in data:
            raw["ndc"].add(re.sub(r"\d", "9", data["ndc"]))
            raw["zip"].add(re.sub(r"\d", "9", str(data["patient"]["zip"])))
    assert {"order_placed", "Order Placed", "ORDER_PLACED", "order-placed"} <= raw["event_type"]
    assert {"Z", "-06:00", "-05:00", "-08:00"} <= raw["offset"]
    assert raw["version"] == {"True", "False"}
    assert {"out_for_delivery", "Out For Delivery", "OUT_FOR_DELIVERY"} <= raw["status"]
    assert {"99999999999", "99999-9999-99", "9999-9999-99", "99999-999-99"} <= raw["ndc"]
    assert {"99999", "99999-9999", "999999999"} <= raw["zip"]
    assert {str, float} <= kinds["copay_amount"]
    assert {str, int} <= kinds["quantity"]
    assert kinds["cold_chain"] == {bool, str}
    assert kinds["temperature_c"] == {float, str}


def test_every_event_type_status_and_reject_code_occurs() -> None:
    seen: dict[str, set[str]] = defaultdict(set)
    codes = set()
    for event in events(**LONG):
        seen[event.type].add(listed(event.data.get("status")))
        if "reject_code" in event.data:
            codes.add(str(event.data["reject_code"]).strip().upper())
    assert seen.keys() == EVENT_TYPES.keys()
    for name, event_type in EVENT_TYPES.items():
        for field in event_type.fields:
            if field.name == "status":
                assert seen[name] == set(field.codes)
    assert codes == {*SETTINGS.reject_weights, "75", "3X"}


def test_identifiers_come_from_the_reference_seeds() -> None:
    payers = {payer.payer_id for payer in REFERENCE.payers}
    carriers = {carrier.carrier_id for carrier in REFERENCE.carriers}
    ndcs = {drug.ndc11 for drug in REFERENCE.drugs}
    seen = set()
    for event in events(**PLAIN):
        data = event.data
        if event.type == "order_placed":
            ndc = data["ndc"].strip()
            if re.fullmatch(r"\d{11}|\d{5}-\d{4}-\d\d", ndc):
                seen.add(ndc.replace("-", ""))
            assert identifier(data["pharmacy_id"]) in ZONES
        if data.get("payer_id"):
            assert identifier(data["payer_id"]) in payers
        if "carrier_id" in data:
            assert identifier(data["carrier_id"]) in carriers
    assert seen == ndcs


# -- the same bytes, and no identifier twice -----------------------------------------------------

KNOBS: dict[str, Any] = {"duplicates": 0.03, "late": 0.05, "malformed": 0.02, "shuffle": True}


def test_the_same_parameters_give_the_same_bytes() -> None:
    first = OrderSimulation(orders=500, seed=3, incident="winter_storm", **KNOBS)
    messages = [message for batch in first.batches() for message in batch]
    again = [message for batch in first.batches() for message in batch]
    other = OrderSimulation(orders=500, seed=3, incident="winter_storm", **KNOBS)
    assert messages == again == [message for batch in other.batches() for message in batch]
    assert first.manifest() == other.manifest()


def test_the_bytes_depend_on_no_environment() -> None:
    program = (
        "from ingestion.generate_pbm_orders import OrderSimulation\n"
        "s = OrderSimulation(orders=500, seed=3, duplicates=0.03, late=0.05, malformed=0.02)\n"
        "all(map(bool, s.batches()))\n"
        "print(s.manifest().sha256)"
    )
    hashes = set()
    for hash_seed, zone, locale in (("0", "UTC", "C"), ("4242", "Asia/Tokyo", "tr_TR.UTF-8")):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONHASHSEED": hash_seed,
            "TZ": zone,
            "LC_ALL": locale,
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        hashes.add(done.stdout.strip())
    here = run(orders=500, seed=3, duplicates=0.03, late=0.05, malformed=0.02)
    assert hashes == {here.manifest.sha256}


def test_the_manifests_hash_is_that_of_the_file() -> None:
    for parameters in (PLAIN, {"orders": 200, "malformed": 0.1, "duplicates": 0.2}):
        result = run(**parameters)
        file = b"".join(message.data + b"\n" for message in result.messages)
        assert result.manifest.sha256 == hashlib.sha256(file).hexdigest()


def test_an_event_id_is_used_once() -> None:
    result = run(**PLAIN)
    ids = {message.attributes["event_id"] for message in result.messages}
    assert len(ids) == len(result.messages) == result.manifest.distinct_event_ids
    assert all(len(event_id) <= 64 for event_id in ids)
    assert len({event.order_id for event in events(**PLAIN)}) == PLAIN["orders"]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"orders": 51},
        {"days": 29},
        {"start": date(2026, 1, 6)},
        {"incident": "winter_storm"},
        {"settings": SimulatorSettings(lost_share=0.002)},
    ],
)
def test_another_generation_shares_no_identifier(change: dict[str, Any]) -> None:
    base = {"orders": 50, "seed": 1}

    def identifiers(parameters: dict[str, Any]) -> set[str]:
        ids = set()
        simulation = OrderSimulation(**parameters)
        for message in (message for batch in simulation.batches() for message in batch):
            event = parse(message.data)
            ids |= {event.event_id, event.order_id}
            if event.type == "order_placed":
                ids.add(event.data["patient"]["patient_id"])
        return ids

    assert not identifiers(base) & identifiers(base | change)


def test_the_delivery_knobs_keep_the_events() -> None:
    plain = {message.data for message in run(orders=500, seed=3).messages}
    assert plain <= {message.data for message in run(orders=500, seed=3, **KNOBS).messages}


# -- patients ------------------------------------------------------------------------------------


def test_a_patient_is_the_same_person_in_every_order() -> None:
    people: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    orders: Counter[str] = Counter()
    for event in events(**LONG):
        if event.type == "order_placed":
            patient = event.data["patient"]
            people[patient["patient_id"]].add(
                (
                    *(patient[name] for name in ("first_name", "last_name", "date_of_birth")),
                    *(patient[name] for name in ("phone", "email", "address", "city")),
                    listed(patient["gender"]),
                    str(patient["state"]).strip().upper(),
                    str(patient["zip"]).strip()[:5],
                )
            )
            orders[patient["patient_id"]] += 1
    assert all(len(identities) == 1 for identities in people.values())
    assert len({identity for identities in people.values() for identity in identities}) == len(
        people
    )
    assert len(people) == run(**LONG).manifest.patients
    assert 0.5 < share(sum(count > 1 for count in orders.values()), len(orders)) < 0.9
    assert all(re.fullmatch(r"PT-[0-9a-f]{10}-\d{6}", patient_id) for patient_id in people)


def test_contact_details_reach_nobody() -> None:
    area_codes = {name: set(state.area_codes) for name, state in SETTINGS.states.items()}
    for event in events(**PLAIN):
        if event.type == "order_placed":
            patient = event.data["patient"]
            assert patient["email"].endswith(("@example.com", "@example.org"))
            assert patient["email"].isascii()
            digits = re.sub(r"\D", "", patient["phone"].removeprefix("+1"))
            assert re.fullmatch(r"\d{3}55501\d\d", digits)
            assert digits[:3] in area_codes[patient["state"].strip().upper()]


def test_zip_and_state_belong_together() -> None:
    first_digit = {"MA": "0", "NJ": "0", "NY": "1", "PA": "1", "VA": "2", "FL": "3", "TN": "3"}
    first_digit |= {"OH": "4", "MI": "4", "MN": "5", "IL": "6", "TX": "7", "AZ": "8", "CA": "9"}
    checked = set()
    for event in events(**PLAIN):
        if event.type == "order_placed":
            state = event.data["patient"]["state"].strip().upper()
            if state in first_digit:
                assert str(event.data["patient"]["zip"]).strip()[0] == first_digit[state]
                checked.add(state)
    assert checked == first_digit.keys()


def test_ages_reach_from_thirty_to_over_ninety_and_nobody_was_born_since_2000() -> None:
    births = [
        date.fromisoformat(event.data["patient"]["date_of_birth"])
        for event in events(**LONG)
        if event.type == "order_placed"
    ]
    ages = [(DEFAULT_START - birth).days / 365.25 for birth in births]
    assert 30 <= min(ages) < 33
    assert max(births) < date(2000, 1, 1)
    assert 90 < max(ages) < 99
    assert 40 < median(ages) < 60


def luhn(number: str) -> bool:
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * d, 10)) if i % 2 else d for i, d in enumerate(digits)]
    return sum(doubled) % 10 == 0


def test_a_prescribers_number_is_valid_and_nobodys() -> None:
    assert luhn("80840" + "1234567893")  # the example of CMS
    numbers = {e.data["prescriber_npi"] for e in events(**PLAIN) if e.type == "order_placed"}
    assert len(numbers) > 300
    for number in numbers:
        assert re.fullmatch(r"2990\d{6}", number)
        assert luhn(f"80840{number}")
    assert not luhn("80840" + npi(7)[:-1] + str((int(npi(7)[-1]) + 1) % 10))


# -- the process ---------------------------------------------------------------------------------


def test_messages_come_in_the_order_of_their_time() -> None:
    assert all(a.at <= b.at for a, b in pairwise(events(**PLAIN)))


def test_events_are_within_the_window() -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    times = [event.at for event in events(**PLAIN)]
    assert start <= min(times) < start + timedelta(days=1)
    assert start + timedelta(days=29) < max(times) < start + timedelta(days=30)


def test_recent_orders_are_open_at_the_windows_end() -> None:
    manifest = run(**PLAIN).manifest
    orders = [Order(history) for history in orders_of(events(**PLAIN)).values()]
    delivered = [order for order in orders if order.delivered_at is not None]
    cancelled = [order for order in orders if order.first("order_cancelled")]
    assert manifest.orders_delivered == len(delivered)
    assert manifest.orders_cancelled == len(cancelled)
    assert manifest.orders_open == len(orders) - len(delivered) - len(cancelled)
    assert 0.05 < manifest.orders_open / manifest.orders < 0.3
    last_day = datetime(2026, 2, 3, tzinfo=UTC)
    recent = [order for order in orders if order.placed.at >= last_day]
    closed = [o for o in recent if o.delivered_at or o.first("order_cancelled")]
    assert share(len(closed), len(recent)) < 0.1


def test_an_orders_events_follow_each_other() -> None:
    for order in long_orders():
        assert order.placed.type == "order_placed"
        assert len(order.all("order_placed")) == 1
        approved = order.first("insurance_validation", "approved")
        dispensed, shipped = order.first("order_dispensed"), order.first("order_shipped")
        if dispensed is not None:
            assert approved is not None
            assert approved.at < dispensed.at
        if shipped is not None:
            assert dispensed is not None
            assert dispensed.at < shipped.at
            assert shipped.at < instant(shipped.data["promised_delivery_at"])
        if order.delivered_at is not None:
            assert shipped is not None
            assert shipped.at < order.delivered_at
        for scan in order.all("shipment_scanned"):
            assert shipped is not None
            assert shipped.at < scan.at
            if order.delivered_at is not None:
                assert scan.at <= order.delivered_at + timedelta(seconds=1)
        for cancelled in order.all("order_cancelled"):
            assert cancelled is order.history[-1]
            assert shipped is None


def test_a_third_answer_is_the_last_and_codes_go_with_rejections_only() -> None:
    for order in long_orders():
        answers = order.all("insurance_validation")
        assert len(answers) <= 3
        for answer in answers:
            status = listed(answer.data["status"])
            assert ("reject_code" in answer.data) == (status == "rejected")
            assert ("copay_amount" in answer.data) == (status == "approved")
        assert sum(listed(answer.data["status"]) == "approved" for answer in answers) <= 1


def test_what_insurance_refuses_for_good_is_never_approved() -> None:
    refused = 0
    for order in long_orders():
        cancelled = order.first("order_cancelled")
        if cancelled is None:
            continue
        approved = order.first("insurance_validation", "approved")
        if cancelled.data["reason"] == "not_covered":
            assert approved is None
            assert len(order.all("insurance_validation")) == 3
            refused += 1
        if cancelled.data["reason"] == "prior_authorization_denied":
            assert approved is None
            assert listed(order.all("prior_authorization")[-1].data["status"]) == "denied"
            refused += 1
        if cancelled.data["reason"] == "abandoned_copay":
            assert approved is not None
    assert refused > 50


def test_most_orders_are_placed_on_mondays_and_before_noon() -> None:
    weekdays: Counter[int] = Counter()
    half_hours: Counter[tuple[int, int]] = Counter()
    # seven whole weeks
    until = datetime(2026, 2, 23, tzinfo=UTC)
    for order in long_orders():
        if order.placed.at < until:
            local = order.placed.at.astimezone(ZONES[order.pharmacy])
            weekdays[local.weekday()] += 1
            half_hours[local.hour, local.minute // 30] += 1
    total = sum(SETTINGS.weekday_weights)
    for weekday, weight in enumerate(SETTINGS.weekday_weights):
        expected = weight / total
        assert share(weekdays[weekday], weekdays.total()) == pytest.approx(expected, rel=0.1)
    assert {key for key, _ in half_hours.most_common(2)} == {(10, 1), (11, 0)}
    assert max(weekdays, key=lambda day: weekdays[day]) == 0


def test_new_patients_need_prior_authorisation_as_often_as_published() -> None:
    new = [order for order in settled_orders() if not order.is_refill]
    refills = [order for order in settled_orders() if order.is_refill]
    insured = [o for o in new if identifier(o.placed.data["payer_id"]) != "self-pay"]
    needed = sum(order.needed_prior_auth for order in insured)
    assert share(needed, len(insured)) == pytest.approx(0.737, abs=0.03)
    assert share(sum(o.needed_prior_auth for o in refills), len(refills)) < 0.08


def test_prior_authorisations_are_decided_as_published() -> None:
    first, final = [], []
    days: list[float] = []
    for order in settled_orders():
        decisions = [
            event
            for event in order.all("prior_authorization")
            if listed(event.data["status"]) != "submitted"
        ]
        submitted = order.first("prior_authorization", "submitted")
        if decisions and submitted is not None:
            first.append(listed(decisions[0].data["status"]) == "approved")
            final.append(listed(decisions[-1].data["status"]) == "approved")
            if listed(order.placed.data["priority"]) == "standard":
                days.append((decisions[0].at - submitted.at) / timedelta(days=1))
    assert share(sum(first), len(first)) == pytest.approx(0.898, abs=0.02)
    assert share(sum(final), len(final)) == pytest.approx(0.934, abs=0.02)
    # 85 % take 0.53 days in the middle and 15 % take 7.02: the mixture, from its parts
    parts = [
        (lognormal_quantiles(dwell.sigma) * dwell.median_hours / 24, weight)
        for dwell, weight in (
            (SETTINGS.decision_centralised, 0.85),
            (SETTINGS.decision_usual, 0.15),
        )
    ]
    for day in (0.25, 0.53, 1.0, 3.0, 7.0, 12.0):
        expected = sum(weight * float(np.mean(values < day)) for values, weight in parts)
        assert share(sum(d < day for d in days), len(days)) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("centralised", "decision_days", "fill_days"), [(1.0, 0.53, 2.49), (0.0, 7.02, 5.52)]
)
def test_stages_have_the_published_medians(
    centralised: float, decision_days: float, fill_days: float
) -> None:
    simulated = SimulatorSettings(centralised_share=centralised)
    simulation = OrderSimulation(orders=12_000, seed=2, days=60, settings=simulated)
    every = [parse(message.data) for batch in simulation.batches() for message in batch]
    decisions, fills = [], []
    for history in orders_of(every).values():
        order = Order(history)
        if listed(order.placed.data["priority"]) != "standard" or order.placed.at > datetime(
            2026, 1, 25, tzinfo=UTC
        ):
            continue
        steps = [event for event in history if event.type == "prior_authorization"]
        if len(steps) >= 2:
            decisions.append((steps[1].at - steps[0].at) / timedelta(days=1))
        approved = order.first("insurance_validation", "approved")
        dispensed = order.first("order_dispensed")
        if order.needed_intervention and approved and dispensed:
            fills.append((dispensed.at - approved.at) / timedelta(days=1))
    assert len(decisions) > 300
    assert median(decisions) == pytest.approx(decision_days, rel=0.12)
    assert median(fills) == pytest.approx(fill_days, rel=0.1)


def business_days_later(moment: datetime, days: int) -> datetime:
    while days:
        moment += timedelta(days=1)
        days -= moment.weekday() < 5
    return moment


def test_clean_orders_ship_within_three_business_days() -> None:
    clean = [
        order
        for order in settled_orders()
        if not order.needed_intervention and not order.first("order_cancelled")
    ]
    in_time = [
        order
        for order in clean
        if (shipped := order.first("order_shipped"))
        and shipped.at <= business_days_later(order.placed.at, 3)
    ]
    assert 0.98 <= share(len(in_time), len(clean)) < 1


def test_high_copays_are_abandoned() -> None:
    high: list[bool] = []
    low: list[bool] = []
    for order in settled_orders():
        approved = order.first("insurance_validation", "approved")
        if approved is None:
            continue
        cancelled = order.first("order_cancelled")
        if cancelled is not None and cancelled.data["reason"] != "abandoned_copay":
            continue
        is_high = Decimal(str(approved.data["copay_amount"])) > 500
        (high if is_high else low).append(cancelled is not None)
    assert share(sum(high), len(high)) == pytest.approx(0.60, abs=0.06)
    assert share(sum(low), len(low)) < 0.03


def test_carriers_are_on_time_as_often_as_published() -> None:
    kept: dict[str, list[bool]] = defaultdict(list)
    for order in long_orders():
        shipped = order.first("order_shipped")
        # what was shipped in the last days and has arrived is on time more often than the rest
        if shipped is None or shipped.at > datetime(2026, 2, 22, tzinfo=UTC):
            continue
        if order.is_on_time is not None:
            kept[identifier(shipped.data["carrier_id"])].append(order.is_on_time)
    assert kept.keys() == {carrier.carrier_id for carrier in REFERENCE.carriers}
    for carrier in REFERENCE.carriers:
        on_time, rate = kept[carrier.carrier_id], carrier.on_time_rate
        three_sigma = 3 * (rate * (1 - rate) / len(on_time)) ** 0.5
        assert three_sigma < 0.016
        assert share(sum(on_time), len(on_time)) == pytest.approx(rate, abs=three_sigma)


def test_urgent_orders_are_faster() -> None:
    hours: dict[str, list[float]] = defaultdict(list)
    for order in settled_orders():
        shipped = order.first("order_shipped")
        if shipped is not None and not order.needed_intervention:
            hours[listed(order.placed.data["priority"])].append(
                (shipped.at - order.placed.at) / timedelta(hours=1)
            )
    assert median(hours["stat"]) < median(hours["expedited"]) < median(hours["standard"])
    assert median(hours["stat"]) < 8


def test_only_cold_shipments_are_measured_and_few_get_warm() -> None:
    refrigerated = {drug.ndc11: drug.is_refrigerated for drug in REFERENCE.drugs}
    warm, cold = 0, 0
    for order in settled_orders():
        shipped, delivered = order.first("order_shipped"), order.first("order_delivered")
        if shipped is None:
            continue
        is_cold = str(shipped.data["cold_chain"]).lower() == "true"
        ndc = order.placed.data["ndc"].strip()
        if re.fullmatch(r"\d{11}", ndc):
            assert is_cold == refrigerated[ndc]
        readings = [
            Decimal(str(scan.data["temperature_c"]))
            for scan in order.all("shipment_scanned")
            if "temperature_c" in scan.data
        ]
        assert is_cold or not readings
        if delivered is not None:
            assert ("minutes_out_of_range" in delivered.data) == is_cold
            if is_cold:
                cold += 1
                is_warm = int(delivered.data["minutes_out_of_range"]) > 0
                warm += is_warm
                assert is_warm == any(not 2 <= reading <= 8 for reading in readings)
    assert share(warm, cold) == pytest.approx(SETTINGS.excursion_share, rel=0.4)


def test_failed_attempts_and_exceptions_make_deliveries_late() -> None:
    statuses: Counter[str] = Counter()
    for order in settled_orders():
        for scan in order.all("shipment_scanned"):
            status = listed(scan.data["status"])
            statuses[status] += 1
            assert ("exception_code" in scan.data) == (status in {"exception", "attempt_fail"})
            if status == "attempt_fail":
                assert order.is_on_time is False
    delivered = sum(order.delivered_at is not None for order in settled_orders())
    late = 1 - sum(order.is_on_time is True for order in settled_orders()) / delivered
    assert share(statuses["attempt_fail"], delivered) == pytest.approx(
        late * SETTINGS.late_attempt_failed, rel=0.3
    )
    assert statuses["available_for_pickup"] > 0
    assert statuses["expired"] > 0


def test_summer_time_changes_the_offset() -> None:
    offsets: dict[str, set[str]] = defaultdict(set)
    for message in run(orders=2_000, seed=4, start=date(2026, 3, 1), days=14).messages:
        envelope = json.loads(message.data)
        text, data = envelope["event_timestamp"], envelope["data"]
        if "pharmacy_id" in data and not text.endswith("Z"):
            pharmacy = identifier(data["pharmacy_id"])
            offsets[pharmacy].add(text[-6:])
            moment = datetime.fromisoformat(text)
            assert moment.utcoffset() == moment.astimezone(ZONES[pharmacy]).utcoffset()
    assert offsets["rx-columbus"] == {"-05:00", "-04:00"}
    assert offsets["rx-tempe"] == {"-07:00"}


# -- what real feeds do --------------------------------------------------------------------------


def test_duplicates_are_the_same_event_again() -> None:
    plain = run(orders=1_000, seed=9)
    doubled = run(orders=1_000, seed=9, duplicates=0.2)
    manifest = doubled.manifest
    assert manifest.duplicates == round(0.2 * manifest.events)
    assert manifest.messages == len(doubled.messages) == manifest.events + manifest.duplicates
    assert manifest.events == plain.manifest.events
    ids = Counter(message.attributes["event_id"] for message in doubled.messages)
    assert len(ids) == manifest.distinct_event_ids
    assert Counter(ids.values()) == {
        1: manifest.events - manifest.duplicates,
        2: manifest.duplicates,
    }
    originals = {message.attributes["event_id"]: message for message in plain.messages}
    altered = 0
    for message in doubled.messages:
        original = originals[message.attributes["event_id"]]
        assert message.attributes == original.attributes
        if message.data != original.data:
            altered += 1
            envelope = json.loads(message.data)
            assert envelope.pop("resend_count") == 1
            assert envelope == json.loads(original.data)
    assert altered == round(manifest.duplicates * SETTINGS.altered_duplicate_share)


def test_late_events_come_out_of_order_and_nothing_else_changes() -> None:
    plain, late = run(orders=1_000, seed=9), run(orders=1_000, seed=9, late=0.1)
    assert sorted(late.messages, key=str) == sorted(plain.messages, key=str)
    assert late.manifest.late == round(0.1 * late.manifest.events)
    newest = parse(late.messages[0].data).at
    behind = []
    for message in late.messages:
        at = parse(message.data).at
        if at < newest - timedelta(minutes=30):
            behind.append(newest - at)
        newest = max(newest, at)
    assert 0.8 * late.manifest.late < len(behind) <= late.manifest.late
    assert max(behind) > timedelta(days=1)


def test_shuffled_messages_have_no_order() -> None:
    plain, shuffled = run(orders=1_000, seed=9), run(orders=1_000, seed=9, shuffle=True)
    assert sorted(shuffled.messages, key=str) == sorted(plain.messages, key=str)
    times = [parse(message.data).at for message in shuffled.messages]
    falling = sum(a > b for a, b in pairwise(times))
    assert share(falling, len(times)) == pytest.approx(0.5, abs=0.03)


def test_malformed_messages_are_refused_for_every_reason_and_are_extra() -> None:
    plain, broken = run(orders=500, seed=9), run(orders=500, seed=9, malformed=0.1)
    manifest = broken.manifest
    refused: Counter[str] = Counter()
    good = []
    publish_time = datetime(2126, 3, 1, tzinfo=UTC)  # however late they are published
    for message in broken.messages:
        assert b"\n" not in message.data
        result = check_message(
            Message("m", message.data, message.attributes, publish_time), PSEUDONYMISER
        )
        if isinstance(result, DeadLetter):
            refused[result.error_type] += 1
        else:
            good.append(message)
    assert good == plain.messages
    assert refused == manifest.malformed_by_error_type
    assert refused.keys() == {error_type.value for error_type in ErrorType}
    assert refused.total() == manifest.malformed == round(0.1 * manifest.events)


@pytest.mark.parametrize("error_type", list(ErrorType))
def test_every_way_to_break_a_message_is_refused_for_its_reason(error_type: ErrorType) -> None:
    for publish_time in (datetime(2026, 1, 6, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)):
        for make in MALFORMED[error_type]:
            data = make("EV-1", "ORD-1", "2026-01-05T10:00:00Z")
            result = check_message(Message("m", data, {}, publish_time), PSEUDONYMISER)
            assert isinstance(result, DeadLetter), data
            assert result.error_type is error_type, data


def test_a_few_orders_still_get_one_malformed_message_of_each_kind() -> None:
    manifest = run(orders=1, malformed=0.0001).manifest
    assert manifest.malformed_by_error_type == dict.fromkeys(map(str, ErrorType), 1)


# -- incidents -----------------------------------------------------------------------------------

BASE = {"orders": 4_000, "seed": 21}


def before_and_after(
    incident: str,
) -> tuple[dict[str, Order], dict[str, Order], SimulationManifest]:
    """Return the same orders without and with an incident, by their number."""

    def by_number(every: list[Event]) -> dict[str, Order]:
        return {order_id[-7:]: Order(h) for order_id, h in orders_of(every).items()}

    with_it = run(**BASE, incident=incident).manifest
    return by_number(events(**BASE)), by_number(events(**BASE, incident=incident)), with_it


def story(order: Order) -> list[tuple[str, str, datetime]]:
    return [
        (event.event_id[-2:], event.type, event.at.replace(microsecond=0))
        for event in order.history
    ]


@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_incident_touches_the_orders_it_names_and_no_other(incident: str) -> None:
    before, after, manifest = before_and_after(incident)
    truth = manifest.incident
    assert truth is not None
    assert truth.name == incident
    assert len(truth.orders) > 10
    named = {order.order_id[-7:] for order in truth.orders}
    end = datetime(2026, 2, 4, tzinfo=UTC)
    for order in truth.orders:
        assert order.since >= truth.since
        assert order.since < truth.until
        assert order.until is None or order.since <= order.until < end
        assert order.stage in {
            "placed_to_approved",
            "approved_to_dispensed",
            "shipped_to_delivered",
        }
    for number, order_before in before.items():
        if number not in named:
            assert story(order_before) == story(after[number])
            if incident == "cold_chain_failure":
                minutes = [
                    (o.first("order_delivered") or o.placed).data.get("minutes_out_of_range", 0)
                    for o in (order_before, after[number])
                ]
                assert int(minutes[0]) == int(minutes[1])
    if incident != "cold_chain_failure":
        # an event that falls after the window's end can hide the change of a few
        changed = {n for n in named if story(before[n]) != story(after[n])}
        assert changed == named


def test_a_payer_outage_rejects_with_92_and_answers_later() -> None:
    before, after, manifest = before_and_after("payer_outage")
    assert manifest.incident is not None
    for affected in manifest.incident.orders:
        order = after[affected.order_id[-7:]]
        outage = [e for e in order.history if e.event_id.endswith("-08")]
        assert len(outage) == 1
        assert str(outage[0].data["reject_code"]).strip() == "92"
        assert identifier(outage[0].data["payer_id"]) == manifest.incident.struck
        assert outage[0].at.replace(microsecond=0) == affected.since
        resumed = [e for e in order.all("insurance_validation") if e.at > outage[0].at]
        if affected.until is not None:
            assert resumed[0].at.replace(microsecond=0) == affected.until
            assert affected.until >= manifest.incident.until
    codes = [e for o in before.values() for e in o.history if e.event_id.endswith("-08")]
    assert codes == []


def test_a_winter_storm_delays_deliveries_to_its_region() -> None:
    _, after, manifest = before_and_after("winter_storm")
    truth = manifest.incident
    assert truth is not None
    states = {name for name, s in SETTINGS.states.items() if s.region == truth.struck}
    for affected in truth.orders:
        order = after[affected.order_id[-7:]]
        assert order.placed.data["patient"]["state"].strip().upper() in states
        scan = order.first("shipment_scanned", "exception")
        assert scan is not None
        assert scan.data["exception_code"] == "weather_delay"
        assert truth.since <= scan.at < truth.until
        assert (
            order.delivered_at is None
            or order.delivered_at.replace(microsecond=0) == affected.until
        )
    in_region = [
        o.delivered_at
        for o in after.values()
        if o.placed.data["patient"]["state"].strip().upper() in states and o.delivered_at
    ]
    assert not [at for at in in_region if truth.since <= at < truth.until]


def test_lost_scans_are_those_of_one_carrier() -> None:
    before, after, manifest = before_and_after("lost_scans")
    truth = manifest.incident
    assert truth is not None
    lost = 0
    for number, order in before.items():
        shipped = order.first("order_shipped")
        is_struck = shipped and identifier(shipped.data["carrier_id"]) == truth.struck
        kept = {entry[0] for entry in story(after[number])}
        for event in order.history:
            in_feed = event.type in {"shipment_scanned", "order_delivered"}
            inside = truth.since <= event.at < truth.until
            gone = event.event_id[-2:] not in kept
            assert gone == bool(is_struck and in_feed and inside)
            lost += gone
    assert lost > 100
    assert manifest.orders_open > run(**BASE).manifest.orders_open


def test_a_cold_chain_failure_warms_parcels_of_one_pharmacy() -> None:
    before, after, manifest = before_and_after("cold_chain_failure")
    assert manifest.incident is not None
    warmer = 0
    for affected in manifest.incident.orders:
        number = affected.order_id[-7:]
        assert after[number].pharmacy == manifest.incident.struck
        delivered = after[number].first("order_delivered")
        normal = before[number].first("order_delivered")
        if delivered is not None and normal is not None:
            minutes = int(delivered.data["minutes_out_of_range"])
            assert minutes > 0
            warmer += minutes > int(normal.data["minutes_out_of_range"])
    assert warmer > 10


def test_orders_stuck_at_dispensing_go_on_when_it_ends() -> None:
    _, after, manifest = before_and_after("stuck_at_dispensing")
    truth = manifest.incident
    assert truth is not None
    for order in after.values():
        dispensed = order.first("order_dispensed")
        if dispensed is not None and order.pharmacy == truth.struck:
            assert not truth.since <= dispensed.at < truth.until
    for affected in truth.orders:
        order = after[affected.order_id[-7:]]
        dispensed = order.first("order_dispensed")
        assert order.pharmacy == truth.struck
        if dispensed is not None:
            assert dispensed.at == affected.until


@pytest.mark.parametrize("days", [1, 2, 5, 13])
@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_incident_fits_into_a_short_window(incident: str, days: int) -> None:
    truth = run(orders=300, days=days, incident=incident).manifest.incident
    assert truth is not None
    start = datetime(2026, 1, 5, tzinfo=UTC)
    assert start < truth.since < truth.until <= start + timedelta(days=days)


# -- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("orders", 0),
        ("orders", 10_000_001),
        ("orders", True),
        ("orders", 1.5),
        ("seed", -1),
        ("days", 0),
        ("days", 3_661),
        ("start", date(1999, 12, 31)),
        ("start", date(2099, 12, 31)),
        ("start", datetime(2026, 1, 5, tzinfo=UTC)),
        ("start", "2026-01-05"),
        ("duplicates", -0.1),
        ("duplicates", 1.1),
        ("late", float("nan")),
        ("late", "0.1"),
        ("malformed", float("inf")),
        ("malformed", True),
        ("incident", "locusts"),
    ],
)
def test_a_parameter_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        OrderSimulation(**({"orders": 10} | {name: value}))  # type: ignore[arg-type]
    assert caught.value.problem.startswith(f"{name} is ")
    assert caught.value.hint


def test_the_manifest_is_known_at_the_end() -> None:
    simulation = OrderSimulation(orders=2_000)
    batches = simulation.batches()
    next(batches)
    with pytest.raises(RuntimeError):
        simulation.manifest()
    for batch in batches:
        assert 0 < len(batch) <= 5_000
    plain = simulation.manifest().as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["parameters"]["orders"] == plain["orders"] == 2_000


def test_every_parameter_says_where_it_comes_from() -> None:
    for name, field in SimulatorSettings.model_fields.items():
        assert field.description is not None, name
        assert "Source: " in field.description or field.description.endswith(
            "Illustrative, ours."
        ), name
    unsourced = SimulatorSettings.model_fields["weekday_weights"].description
    assert unsourced is not None
    assert "Source" not in unsourced


def test_every_brand_of_the_catalogue_has_its_fill() -> None:
    assert {drug.brand_name for drug in REFERENCE.drugs} == SETTINGS.fills.keys()


@settings(max_examples=25, deadline=None)
@given(
    orders=st.integers(1, 60),
    seed=st.integers(0, 2**63 - 1),
    start=st.dates(date(2000, 1, 1), date(2099, 1, 1)),
    days=st.integers(1, 40),
    duplicates=st.floats(0, 1),
    malformed=st.floats(0, 1),
    incident=st.sampled_from([None, *INCIDENTS]),
)
def test_any_parameters_give_a_stream_that_adds_up(
    orders: int,
    seed: int,
    start: date,
    days: int,
    duplicates: float,
    malformed: float,
    incident: str | None,
) -> None:
    simulation = OrderSimulation(
        orders=orders,
        seed=seed,
        start=start,
        days=days,
        duplicates=duplicates,
        malformed=malformed,
        incident=incident,
    )
    publish_time = datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(days=days)
    ids: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for message in (message for batch in simulation.batches() for message in batch):
        row = check_message(
            Message("m", message.data, message.attributes, publish_time), PSEUDONYMISER
        )
        if isinstance(row, DeadLetter):
            refused[row.error_type] += 1
        else:
            ids[row.event_id] += 1
    manifest = simulation.manifest()
    assert manifest.events == len(ids) == sum(manifest.events_by_type.values())
    assert manifest.events_by_type["order_placed"] == orders
    assert ids.total() == manifest.events + manifest.duplicates
    assert refused == manifest.malformed_by_error_type
    assert manifest.messages == ids.total() + refused.total()


# -- the parts -----------------------------------------------------------------------------------


def test_a_question_has_the_same_answer_whatever_else_was_asked() -> None:
    draws = Draws(1)
    alone = Draws(1).uniform("b", 5).tolist()
    draws.uniform("a", 100)
    assert draws.uniform("b", 5).tolist() == alone
    assert Draws(2).uniform("b", 5).tolist() != alone
    assert draws.uniform("a", 5).tolist() != alone


def test_a_dwell_has_its_median_and_its_spread() -> None:
    hours = Draws(3).seconds("x", 40_000, Dwell(median_hours=10, sigma=0.5)) / 3600
    assert float(np.median(hours)) == pytest.approx(10, rel=0.02)
    assert float(np.std(np.log(hours))) == pytest.approx(0.5, rel=0.02)


def test_night_work_moves_to_the_nearer_working_hour() -> None:
    clock = LocalClock(date(2026, 1, 5), 10, ["America/New_York"])

    def moved(hour: float) -> float:
        at = np.array([int(DAY * 2 + (hour + 5) * HOUR)], dtype=np.int64)
        pharmacy = np.zeros(1, dtype=np.int64)
        result = clock.into_hours(pharmacy, at, (6, 22), np.array([0.5]))
        return (int(result[0]) - DAY * 2) / HOUR - 5

    assert moved(12) == 12
    assert moved(6) == 6
    assert moved(23) == 21.5
    assert moved(1) == -2.5
    assert moved(5) == 6.5


def test_a_local_hour_is_right_across_the_change_to_summer_time() -> None:
    clock = LocalClock(date(2026, 3, 7), 3, ["America/New_York"])
    pharmacy = np.zeros(1, dtype=np.int64)
    noon = np.array([17 * HOUR], dtype=np.int64)  # 12:00 on Saturday
    one, ten = np.array([1], dtype=np.int64), np.array([10], dtype=np.int64)
    assert int(clock.at_hour(pharmacy, noon, one, ten)[0]) == DAY + 14 * HOUR
    assert int(clock.at_hour(pharmacy, noon, one * 0, ten)[0]) == 15 * HOUR


@pytest.mark.parametrize(
    ("name", "old", "new", "named"),
    [
        ("payers.csv", "payer_type", "payer_kind", "payer_type"),
        ("carriers.csv", "0.972", "97 %", "on_time_rate"),
        ("carriers.csv", "0.972", "97.2", "on_time_rate"),
        ("pharmacies.csv", "America/Chicago", "America/Nowhere", "time zone"),
        ("reject_codes.csv", "\n75,", "\n74,", "75"),
    ],
)
def test_a_seed_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, old: str, new: str, named: str
) -> None:
    for seed in SEEDS_FOLDER.glob("*.csv"):
        text = seed.read_text(encoding="utf-8")
        changed = text.replace(old, new) if seed.name == name else text
        (tmp_path / seed.name).write_text(changed, encoding="utf-8")
    with pytest.raises(InputError, match=f"{name}.*{named}"):
        load_reference(tmp_path)


def test_a_missing_seed_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"drug_catalog\.csv does not exist"):
        load_reference(tmp_path)
