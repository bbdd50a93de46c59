"""Writes events as the JSON their sources send, in the forms real systems use.

Text is put together from tables of pieces that are JSON already. Which form a value takes comes
from ``noise`` of the event's own number, so that one event is the same bytes whenever it is
written. Every form is valid by the contract and means the same.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ingestion.events import EVENT_TYPES as CONTRACT
from ingestion.simulator.clock import LocalClock
from ingestion.simulator.demand import fill_of
from ingestion.simulator.draws import Bools, Ints, Objects, noise, normal_quantiles
from ingestion.simulator.lifecycle import (
    ANSWERS,
    PRIOR_AUTHS,
    SCANS,
    SERVICE_LEVELS,
    Lifecycle,
    Slot,
)
from ingestion.simulator.people import PHONE_LINES, PLACES_PER_STATE, People, to_json
from ingestion.simulator.reference import Reference
from ingestion.simulator.settings import SimulatorSettings

Noise = npt.NDArray[np.uint64]

EVENT_TYPES: Final = tuple(CONTRACT)
_SOURCES: Final = tuple(event_type.sent_by for event_type in CONTRACT.values())
_PLACED: Final = EVENT_TYPES.index("order_placed")
_ANSWER: Final = EVENT_TYPES.index("insurance_validation")
_PRIOR_AUTH: Final = EVENT_TYPES.index("prior_authorization")
_DISPENSED: Final = EVENT_TYPES.index("order_dispensed")
_SHIPPED: Final = EVENT_TYPES.index("order_shipped")
_SCAN: Final = EVENT_TYPES.index("shipment_scanned")
_DELIVERED: Final = EVENT_TYPES.index("order_delivered")
_CANCELLED: Final = EVENT_TYPES.index("order_cancelled")
_SHIPPING: Final = (_SHIPPED, _SCAN, _DELIVERED)
_FORMS: Final = 16
_SCAN_STATUS: Final = {
    Slot.INFO_RECEIVED: "info_received",
    Slot.IN_TRANSIT_1: "in_transit",
    Slot.IN_TRANSIT_2: "in_transit",
    Slot.EXCEPTION: "exception",
    Slot.OUT_FOR_DELIVERY_1: "out_for_delivery",
    Slot.ATTEMPT_FAIL: "attempt_fail",
    Slot.AVAILABLE_FOR_PICKUP: "available_for_pickup",
    Slot.OUT_FOR_DELIVERY_2: "out_for_delivery",
    Slot.DELIVERED_SCAN: "delivered",
    Slot.EXPIRED: "expired",
}
_SCAN_STATUSES: Final = (*dict.fromkeys(_SCAN_STATUS.values()), "pending")
_VERIFIERS: Final = ("pharmacist", "pharmacist", "pharmacist", "pharmacy technician")
_SIGNERS: Final = ("patient", "patient", "patient", "caregiver", "household member", "front desk")
_TRACKING_SPACE: Final = 10**12
_UTC_SUFFIX: Final = 0


def slot_types() -> Ints:
    """Return the position in ``EVENT_TYPES`` of each slot."""
    types = np.zeros(len(Slot), dtype=np.int64)
    for slots, event_type in ((ANSWERS, _ANSWER), (PRIOR_AUTHS, _PRIOR_AUTH), (SCANS, _SCAN)):
        types[list(slots)] = event_type
    types[Slot.DISPENSED] = _DISPENSED
    types[Slot.SHIPPED] = _SHIPPED
    types[Slot.DELIVERED] = _DELIVERED
    types[Slot.CANCELLED] = _CANCELLED
    return types


def _table(texts: Sequence[str]) -> Objects:
    table = np.empty(len(texts), dtype=np.object_)
    table[:] = texts
    return table


def _code_forms(code: str) -> list[str]:
    """Return 16 forms of a listed code: most sources send it plainly, some do not."""
    title = code.replace("_", " ").title()
    return [code] * 10 + [title, title, code.upper(), code.replace("_", "-"), f" {code}", title]


def _id_forms(identifier: str) -> list[str]:
    """Return 16 forms of an identifier: case and white space vary, nothing else."""
    return [identifier] * 13 + [identifier.upper(), f"{identifier} ", identifier.title()]


def _field(name: str, forms: Sequence[str]) -> list[str]:
    return [f'"{name}":"{form}"' for form in forms]


def _code_table(name: str, codes: Sequence[str]) -> Objects:
    """Return a field for each code and form, at ``code * 16 + form``."""
    return _table([text for code in codes for text in _field(name, _code_forms(code))])


def _id_table(name: str, identifiers: Sequence[str]) -> Objects:
    return _table([text for one in identifiers for text in _field(name, _id_forms(one))])


def _number_forms(text: str) -> list[str]:
    """Return 16 forms of a number: as a number, as a text, with a needless fraction."""
    plain = text if "." in text else f"{text}.0"
    return [text] * 11 + [f'"{text}"', f'"{text}"', plain, f'" {text} "', f'"{plain}"']


def _drug_forms(ndc_package: str, ndc11: str, quantity: str, days: int) -> list[str]:
    labeler = f"{ndc11[:5]}-{ndc11[5:9]}-{ndc11[9:]}"
    ndcs = [ndc11] * 6 + [ndc_package] * 6 + [labeler] * 3 + [f" {ndc_package} "]
    quantities, supplies = _number_forms(quantity), _number_forms(str(days))
    return [
        f'"ndc":"{ndc}","quantity":{quantities[-1 - form]},"days_supply":{supplies[form]},'
        for form, ndc in enumerate(ndcs)
    ]


def _place_forms(city: str, state: str, zip5: str, plus4: str) -> list[str]:
    number = zip5 if not zip5.startswith("0") else f'"{zip5}"'
    zips = [f'"{zip5}"'] * 9 + [f'"{zip5}-{plus4}"'] * 4 + [f'"{zip5}{plus4}"', f'" {zip5}"']
    states = [state] * 13 + [state.lower(), f"{state} ", state]
    return [
        f'"city":{to_json(city)},"state":"{states[form]}","zip":{value}'
        for form, value in enumerate([*zips, number])
    ]


class MessageWriter:
    """Writes any events of one generation.

    Args:
        lifecycle: What happened.
        namespace: Short hash that every identifier carries.
        clock: Local time at the pharmacies.
        people: Pools of names and places.
        reference: The seeds.
        settings: The parameters.
        seed: The run's seed; with an incident or without, an event takes the same forms.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        namespace: str,
        clock: LocalClock,
        people: People,
        reference: Reference,
        settings: SimulatorSettings,
        seed: int,
    ) -> None:
        self._life = lifecycle
        self.namespace = namespace
        self._salt = seed
        self._clock = clock
        self._people = people
        self._settings = settings
        self._midnight = np.datetime64(clock.midnight.replace(tzinfo=None), "s")
        self._first_day = np.datetime64(clock.midnight.date(), "D")
        self._slot_types = slot_types()
        self._pharmacy = lifecycle.demand.patients.pharmacy[lifecycle.demand.patient]
        self._fill_envelope_tables()
        self._fill_patient_tables()
        self._fill_code_tables(reference)
        self._bodies: dict[int, Callable[[Ints, Ints, Noise], list[str]]] = {
            _PLACED: self._placed,
            _ANSWER: self._answered,
            _PRIOR_AUTH: self._prior_authorised,
            _DISPENSED: self._dispensed,
            _SHIPPED: self._shipped,
            _SCAN: self._scanned,
            _DELIVERED: self._delivered,
            _CANCELLED: self._cancelled,
        }

    # ---------- tables

    def _fill_envelope_tables(self) -> None:
        types, sources = [], []
        for event_type, source in zip(EVENT_TYPES, _SOURCES, strict=True):
            title = event_type.replace("_", " ").title()
            forms = [event_type] * 12 + [title, title, event_type.upper()]
            types += _field("event_type", [*forms, event_type.replace("_", "-")])
            version = '"schema_version":1,'
            left_out = 4 if source == "insurance" else 0
            sources += [f'{version}"source_system":"{source}"'] * (_FORMS - left_out)
            sources += [f'"source_system":"{source}"'] * left_out
        self._type_table, self._source_table = _table(types), _table(sources)
        quarters = range(-56, 57)
        signs = [
            f"{'-' if q < 0 else '+'}{abs(q) // 4:02d}:{abs(q) % 4 * 15:02d}" for q in quarters
        ]
        self._suffixes = _table(["Z", *signs])
        self._fractions = _table([""] + [f".{ms:03d}" for ms in range(1000)])

    def _fill_patient_tables(self) -> None:
        people, settings = self._people, self._settings
        self._female = _table([text for text, _ in people.female])
        self._male = _table([text for text, _ in people.male])
        self._last = _table([text for text, _ in people.last])
        self._female_plain = _table([text for _, text in people.female])
        self._male_plain = _table([text for _, text in people.male])
        self._last_plain = _table([text for _, text in people.last])
        self._streets = _table(people.streets)
        self._places = _table(
            [
                form
                for place in people.places
                for form in _place_forms(place.city, place.state, place.zip5, place.plus4)
            ]
        )
        self._cities = _table([to_json(f"{place.city}, {place.state}") for place in people.places])
        genders = []
        for gender in settings.gender_weights:
            genders += _field("gender", _code_forms(gender))
        self._genders = _table(genders)
        pools = {"female": 1, "male": 0}
        self._first_name_pool = np.array([pools.get(g, -1) for g in settings.gender_weights])
        area_codes = [code for state in settings.states.values() for code in state.area_codes]
        first = np.cumsum([0] + [len(s.area_codes) for s in settings.states.values()])
        self._first_area_code = first.astype(np.int64)
        phones = []
        for code in area_codes:
            for line in range(PHONE_LINES):
                last = f"01{line:02d}"
                phones += [f"({code}) 555-{last}", f"{code}-555-{last}"]
                phones += [f"+1{code}555{last}", f"{code}.555.{last}"]
        self._phones = _table(phones)
        self._npis = _table(people.npis)

    def _fill_code_tables(self, reference: Reference) -> None:
        settings, life = self._settings, self._life
        drugs, unreadable = [], []
        for drug in reference.drugs:
            quantity, days = fill_of(drug.brand_name, settings)
            drugs += _drug_forms(drug.ndc_package, drug.ndc11, quantity, days)
            bare = drug.ndc_package.replace("-", "")[:10]
            unreadable.append(f'"ndc":"{bare}","quantity":{quantity},"days_supply":{days},')
        self._drugs, self._unreadable_drugs = _table(drugs), _table(unreadable)
        pharmacies = [pharmacy.pharmacy_id for pharmacy in reference.pharmacies]
        self._pharmacies = _id_table("pharmacy_id", pharmacies)
        self._pharmacy_cities = _table(
            [to_json(f"{pharmacy.city}, {pharmacy.state}") for pharmacy in reference.pharmacies]
        )
        self._payers = _id_table("payer_id", [payer.payer_id for payer in reference.payers])
        self._carriers = _id_table("carrier_id", [c.carrier_id for c in reference.carriers])
        self._priorities = _code_table("priority", list(settings.priority_weights))
        channels = [*settings.channel_weights, "refill"]
        self._channels = _code_table("channel", channels)
        shares = np.cumsum(list(settings.channel_weights.values()))
        self._channel_limits = shares / shares[-1]
        self._answer_statuses = _code_table("status", ("approved", "rejected", "pending"))
        rejects = []
        for row in reference.reject_codes:
            code = row.reject_code
            number = code if code.isdigit() and not code.startswith("0") else f'"{code}"'
            forms = [f'"{code}"'] * 12 + [f'"{code.lower()}"'] * 2 + [f'" {code}"', number]
            rejects += [f',"reject_code":{form}' for form in forms]
        self._rejects = _table([*rejects, ""])
        self._no_reject = len(rejects)
        self._decisions = _code_table("status", ("submitted", "approved", "denied"))
        self._services = _code_table("service_level", SERVICE_LEVELS)
        self._scan_statuses = _code_table("status", _SCAN_STATUSES)
        slots = np.zeros(len(Slot), dtype=np.int64)
        for slot, status in _SCAN_STATUS.items():
            slots[slot] = _SCAN_STATUSES.index(status)
        self._scan_positions = slots
        exceptions = [f',"exception_code":"{code}"' for code in life.exception_codes]
        fail = ',"exception_code":"recipient_unavailable"'
        self._exceptions = _table([*exceptions, fail, ""])
        self._reasons = _table([f'"reason":"{reason}"' for reason in life.cancel_reasons])
        z = normal_quantiles()[32::64]  # 256 of the 16,384 quantiles
        low, high = 2.0, 8.0
        cold = np.clip(settings.cold_mean_c + settings.cold_sd_c * z, low, high)
        warm_step = (settings.warm_high_c - settings.warm_low_c) / 255
        readings = [f"{value:.1f}" for value in cold.tolist()]
        readings += [f"{settings.warm_low_c + warm_step * i:.1f}" for i in range(256)]
        numbers = [f',"temperature_c":{reading}' for reading in readings]
        texts = [f',"temperature_c":"{reading}"' for reading in readings]
        self._temperatures = _table([*numbers, *texts])

    # ---------- times

    def timing(self, order: Ints, slot: Ints, second: Ints) -> Ints:
        """Return when events happened in milliseconds: some sources send them, some do not.

        Args:
            order: Position of each event's order.
            slot: Its slot.
            second: Its time in seconds from the window's start.
        """
        bits = self._bits(order, slot)
        event_type = self._slot_types[slot]
        precise = self._is_precise(event_type, bits)
        milliseconds = ((bits >> np.uint64(48)) % np.uint64(1000)).astype(np.int64)
        return second * 1000 + np.where(precise, milliseconds, 0)

    @staticmethod
    def _is_precise(event_type: Ints, bits: Noise) -> Bools:
        is_insurance = (event_type == _ANSWER) | (event_type == _PRIOR_AUTH)
        is_shipping = np.isin(event_type, _SHIPPING)
        some = (bits & np.uint64(3)) == 0
        precise: Bools = is_insurance | (is_shipping & some)
        return precise

    def _bits(self, order: Ints, slot: Ints) -> Noise:
        return noise(order * 64 + slot, self._salt)

    def _times(self, order: Ints, second: Ints, is_local: Bools) -> list[str]:
        """Write times without a fraction, with the pharmacy's offset or in UTC."""
        offset = np.where(is_local, self._clock.offset(self._pharmacy[order], second), 0)
        moments = self._midnight + (second + offset).astype("timedelta64[s]")
        texts: list[str] = np.datetime_as_string(moments).tolist()
        suffix = self._suffixes[np.where(is_local, offset // 900 + 57, _UTC_SUFFIX)].tolist()
        return [text + end for text, end in zip(texts, suffix, strict=True)]

    def utc(self, milliseconds: Ints) -> list[str]:
        """Write times in UTC, to the second."""
        moments = self._midnight + (milliseconds // 1000).astype("timedelta64[s]")
        texts: list[str] = np.datetime_as_string(moments).tolist()
        return [f"{text}Z" for text in texts]

    # ---------- messages

    def order_id(self, order: int) -> str:
        """Return the id of an order by its position."""
        return f"ORD-{self.namespace}-{order:07d}"

    def write(
        self, order: Ints, slot: Ints, milliseconds: Ints, is_altered: Bools | None = None
    ) -> tuple[list[str], list[str], list[str], list[str]]:
        """Write events.

        Args:
            order: Position of each event's order.
            slot: Its slot.
            milliseconds: When it happened, from ``timing``.
            is_altered: Which are copies with a field more, or None.

        Returns:
            JSON texts, event ids, normalised event types and order ids.
        """
        bits = self._bits(order, slot)
        event_type = self._slot_types[slot]
        prefix_event, prefix_order = f"EV-{self.namespace}-", f"ORD-{self.namespace}-"
        numbers = [f"{number:07d}" for number in order.tolist()]
        slots = [_SLOT_TEXT[number] for number in slot.tolist()]
        event_ids = [
            prefix_event + number + text for number, text in zip(numbers, slots, strict=True)
        ]
        order_ids = [prefix_order + number for number in numbers]

        low = (bits & np.uint64(15)).astype(np.int64)
        form = ((bits >> np.uint64(4)) & np.uint64(15)).astype(np.int64)
        types = self._type_table[event_type * _FORMS + form].tolist()
        sources = self._source_table[event_type * _FORMS + low].tolist()
        is_local = (event_type == _PLACED) | (event_type == _DISPENSED)
        is_local |= (event_type == _CANCELLED) | (np.isin(event_type, _SHIPPING) & (low >= 8))
        times = self._times(order, milliseconds // 1000, is_local)
        precise = self._is_precise(event_type, bits)
        fraction = self._fractions[np.where(precise, milliseconds % 1000 + 1, 0)].tolist()
        bodies = np.empty(len(order), dtype=np.object_)
        for position, body in self._bodies.items():
            here = np.flatnonzero(event_type == position)
            if len(here):
                bodies[here] = body(order[here], slot[here], bits[here])
        extra = [""] * len(order)
        if is_altered is not None:
            extra = ['"resend_count":1,' if altered else "" for altered in is_altered.tolist()]
        texts = [
            f'{{"event_id":"{event_id}",{kind},"event_timestamp":"{time[:19]}{dot}{time[19:]}",'
            f'{source},"order_id":"{order_id}",{more}"data":{{{body}}}}}'
            for event_id, kind, time, dot, source, order_id, more, body in zip(
                event_ids,
                types,
                times,
                fraction,
                sources,
                order_ids,
                extra,
                bodies.tolist(),
                strict=True,
            )
        ]
        plain: list[str] = _PLAIN_TYPES[event_type].tolist()
        return texts, event_ids, plain, order_ids

    @staticmethod
    def _form(bits: Noise, shift: int) -> Ints:
        return ((bits >> np.uint64(shift)) & np.uint64(15)).astype(np.int64)

    @staticmethod
    def _share(bits: Noise, shift: int) -> npt.NDArray[np.float64]:
        """Return 16 bits as a share from 0 to below 1."""
        return ((bits >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64) / 65536

    def _placed(self, order: Ints, _slot: Ints, bits: Noise) -> list[str]:
        life, settings = self._life, self._settings
        patients = life.demand.patients
        patient = life.demand.patient[order]
        gender = patients.gender[patient]
        first_name = patients.first_name[patient]
        # of those neither female nor male, every second has a name of either pool
        has_female_name = self._first_name_pool[gender]
        is_female = np.where(has_female_name < 0, first_name % 2, has_female_name) == 1
        first = np.where(is_female, self._female[first_name], self._male[first_name])
        plain = np.where(is_female, self._female_plain[first_name], self._male_plain[first_name])
        last = patients.last_name[patient]
        birth = self._first_day - patients.birth_day[patient].astype("timedelta64[D]")
        place = patients.place[patient]
        phone = self._first_area_code[place // PLACES_PER_STATE] * PHONE_LINES
        # a patient keeps one number, written in the same way by the same source
        phone_form = patients.house_number[patient] % 4
        ndc = np.where(
            self._share(bits, 8) < settings.unreadable_ndc_share,
            self._unreadable_drugs[patients.drug[patient]],
            self._drugs[patients.drug[patient] * _FORMS + self._form(bits, 24)],
        )
        payer = self._payers[patients.payer[patient] * _FORMS + self._form(bits, 28)]
        payer = np.where(
            self._share(bits, 32) < settings.missing_payer_share, '"payer_id":null', payer
        )
        share = ((bits >> np.uint64(16)) & np.uint64(0xFFFF)).astype(np.float64) / 65536
        channel = np.searchsorted(self._channel_limits, share, side="right")
        channel = np.minimum(channel, len(self._channel_limits) - 1)
        channel = np.where(life.demand.is_refill[order], len(self._channel_limits), channel)
        columns = (
            patient.tolist(),
            first.tolist(),
            plain.tolist(),
            self._last[last].tolist(),
            self._last_plain[last].tolist(),
            np.datetime_as_string(birth).tolist(),
            self._genders[gender * _FORMS + self._form(bits, 36)].tolist(),
            self._phones[(phone + patients.phone[patient]) * 4 + phone_form].tolist(),
            patients.house_number[patient].tolist(),
            self._streets[patients.street[patient]].tolist(),
            self._places[place * _FORMS + self._form(bits, 40)].tolist(),
            ndc.tolist(),
            self._npis[patients.prescriber[patient]].tolist(),
            self._pharmacies[patients.pharmacy[patient] * _FORMS + self._form(bits, 44)].tolist(),
            payer.tolist(),
            self._priorities[life.priority[order] * _FORMS + self._form(bits, 12)].tolist(),
            self._channels[channel * _FORMS + self._form(bits, 52)].tolist(),
        )
        prefix = f"PT-{self.namespace}-"
        return [
            f'"patient":{{"patient_id":"{prefix}{number:06d}","first_name":{first},'
            f'"last_name":{last},"date_of_birth":"{born}",{gender},"phone":"{phone}",'
            f'"email":"{plain}.{plain_last}{number}@example.{"com" if number % 3 else "org"}",'
            f'"address":"{house} {street}",{place}}},{drug}"prescriber_npi":"{npi}",'
            f"{pharmacy},{payer},{priority},{channel}"
            for (
                number,
                first,
                plain,
                last,
                plain_last,
                born,
                gender,
                phone,
                house,
                street,
                place,
                drug,
                npi,
                pharmacy,
                payer,
                priority,
                channel,
            ) in zip(*columns, strict=True)
        ]

    def _answered(self, order: Ints, slot: Ints, bits: Noise) -> list[str]:
        life = self._life
        status = np.zeros(len(order), dtype=np.int64)
        code = np.full(len(order), -1, dtype=np.int64)
        for answer in ANSWERS:
            here = np.flatnonzero(slot == answer)
            status[here] = life.answer_status[answer][order[here]]
            code[here] = life.answer_code[answer][order[here]]
        rejects = np.where(code < 0, self._no_reject, code * _FORMS + self._form(bits, 12))
        payer = life.demand.patients.payer[life.demand.patient[order]]
        form = self._form(bits, 20)
        quotes = np.where(form >= 13, '"', "").astype(np.object_)
        columns = (
            self._answer_statuses[status * _FORMS + self._form(bits, 8)].tolist(),
            self._rejects[rejects].tolist(),
            self._payers[payer * _FORMS + self._form(bits, 16)].tolist(),
            (status == 0).tolist(),
            quotes.tolist(),
            life.copay_cents[order].tolist(),
            life.plan_paid_cents[order].tolist(),
        )
        return [
            (
                f'{status}{code},{payer},"copay_amount":{quote}{copay // 100}.{copay % 100:02d}'
                f'{quote},"plan_paid_amount":{quote}{paid // 100}.{paid % 100:02d}{quote}'
            )
            if is_approved
            else f"{status}{code},{payer}"
            for status, code, payer, is_approved, quote, copay, paid in zip(*columns, strict=True)
        ]

    def _prior_authorised(self, order: Ints, slot: Ints, bits: Noise) -> list[str]:
        status = np.zeros(len(order), dtype=np.int64)
        for decision, approved in self._life.is_prior_auth_approved.items():
            here = np.flatnonzero(slot == decision)
            status[here] = np.where(approved[order[here]], 1, 2)
        statuses = self._decisions[status * _FORMS + self._form(bits, 8)].tolist()
        attempts = np.where(slot >= Slot.PRIOR_AUTH_SUBMITTED_2, 2, 1).tolist()
        return [
            f'{status},"reference":"PA-{self.namespace}-{number:07d}-{attempt}"'
            for status, number, attempt in zip(statuses, order.tolist(), attempts, strict=True)
        ]

    def _dispensed(self, order: Ints, _slot: Ints, bits: Noise) -> list[str]:
        pharmacy = self._pharmacies[self._pharmacy[order] * _FORMS + self._form(bits, 8)].tolist()
        lots = ((bits >> np.uint64(16)) & np.uint64(0x3FFF)).tolist()
        roles = self._form(bits, 32).tolist()
        return [
            f'{place},"lot_number":"L{lot % 10000:04d}{"ABCDEFGH"[lot % 8]}",'
            f'"verified_by_role":"{_VERIFIERS[role % 4]}"'
            for place, lot, role in zip(pharmacy, lots, roles, strict=True)
        ]

    def _shipped(self, order: Ints, _slot: Ints, bits: Noise) -> list[str]:
        life = self._life
        form = self._form(bits, 20)
        cold = np.where(life.is_cold[order], "true", "false").astype(np.object_)
        cold = np.where(form == 15, np.where(life.is_cold[order], '"True"', '"False"'), cold)
        tracking = (bits >> np.uint64(8)) % np.uint64(_TRACKING_SPACE)
        columns = (
            self._carriers[life.carrier[order] * _FORMS + self._form(bits, 8)].tolist(),
            tracking.tolist(),
            self._services[life.service[order] * _FORMS + self._form(bits, 12)].tolist(),
            cold.tolist(),
            self._times(order, life.promised[order], form < 10),
        )
        return [
            f'{carrier},"tracking_number":"SIM{number:012d}",{service},"cold_chain":{cold},'
            f'"promised_delivery_at":"{promised}"'
            for carrier, number, service, cold, promised in zip(*columns, strict=True)
        ]

    def _scanned(self, order: Ints, slot: Ints, bits: Noise) -> list[str]:
        life = self._life
        status = self._scan_positions[slot]
        # some carriers call a label that nobody has collected yet 'pending'
        is_pending = (slot == Slot.INFO_RECEIVED) & (self._form(bits, 12) < 5)
        status = np.where(is_pending, len(_SCAN_STATUSES) - 1, status)
        exception = np.full(len(order), len(life.exception_codes) + 1, dtype=np.int64)
        exception[slot == Slot.ATTEMPT_FAIL] = len(life.exception_codes)
        here = slot == Slot.EXCEPTION
        exception[here] = life.exception_code[order[here]]
        place = life.demand.patients.place[life.demand.patient[order]]
        at_pharmacy = (slot == Slot.INFO_RECEIVED) | (slot == Slot.IN_TRANSIT_1)
        city = np.where(
            at_pharmacy, self._pharmacy_cities[self._pharmacy[order]], self._cities[place]
        )
        reading = ((bits >> np.uint64(24)) & np.uint64(255)).astype(np.int64)
        is_warm = (life.minutes_out_of_range[order] > 0) & (
            (slot == Slot.IN_TRANSIT_2) | (slot == Slot.OUT_FOR_DELIVERY_1)
        )
        reading = reading + is_warm * 256 + (self._form(bits, 32) == 0) * 512
        measured = life.is_cold[order] & (slot >= Slot.IN_TRANSIT_1) & (slot != Slot.EXPIRED)
        temperature = np.where(measured, self._temperatures[reading], "")
        columns = (
            self._scan_statuses[status * _FORMS + self._form(bits, 8)].tolist(),
            self._exceptions[exception].tolist(),
            city.tolist(),
            temperature.tolist(),
        )
        return [
            f'{status}{code},"location":{city}{celsius}'
            for status, code, city, celsius in zip(*columns, strict=True)
        ]

    def _delivered(self, order: Ints, _slot: Ints, bits: Noise) -> list[str]:
        life = self._life
        has_time = life.has_delivered_at[order]
        arrived = self._times(order, life.arrived[order], self._form(bits, 8) < 8)
        quotes = np.where(self._form(bits, 12) == 0, '"', "").astype(np.object_)
        columns = (
            has_time.tolist(),
            arrived,
            self._form(bits, 16).tolist(),
            life.is_cold[order].tolist(),
            quotes.tolist(),
            life.minutes_out_of_range[order].tolist(),
        )
        return [
            (f'"delivered_at":"{arrived}",' if known else "")
            + f'"signed_by_role":"{_SIGNERS[role % 6]}"'
            + (f',"minutes_out_of_range":{quote}{minutes}{quote}' if is_cold else "")
            for known, arrived, role, is_cold, quote, minutes in zip(*columns, strict=True)
        ]

    def _cancelled(self, order: Ints, _slot: Ints, _bits: Noise) -> list[str]:
        reasons: list[str] = self._reasons[self._life.cancel_reason[order]].tolist()
        return reasons


_PLAIN_TYPES: Final = _table(EVENT_TYPES)
_SLOT_TEXT: Final = tuple(f"-{slot:02d}" for slot in range(len(Slot)))
