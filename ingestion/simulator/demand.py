"""Who the patients are and when their orders are placed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingestion.simulator.clock import DAY, ArrivalProfile, LocalClock
from ingestion.simulator.draws import Bools, Draws, Floats, Ints
from ingestion.simulator.people import PHONE_LINES, PLACES_PER_STATE, People
from ingestion.simulator.reference import Payer, Reference
from ingestion.simulator.settings import SimulatorSettings

_DEFAULT_AREA_WEIGHT: Final = 2.0
_DEFAULT_FILL: Final = ("30", 30)


@dataclass(frozen=True)
class Patients:
    """One row per patient: positions in the pools and seeds.

    ``birth_day`` counts days before the window's first day; ``gender`` is a position in the
    settings' weights.
    """

    drug: Ints
    pharmacy: Ints
    place: Ints
    payer: Ints
    gender: Ints
    first_name: Ints
    last_name: Ints
    street: Ints
    house_number: Ints
    phone: Ints
    prescriber: Ints
    birth_day: Ints
    is_centralised: Bools


@dataclass(frozen=True)
class Demand:
    """Orders in the order of their placement, and the patients they are for.

    ``placed`` counts seconds from midnight UTC of the window's first day.
    """

    patients: Patients
    patient: Ints
    placed: Ints
    is_refill: Bools


def fill_of(brand: str, settings: SimulatorSettings) -> tuple[str, int]:
    """Return quantity and days of supply of one fill of a brand."""
    return settings.fills.get(brand, _DEFAULT_FILL)


def _drug_weights(reference: Reference, settings: SimulatorSettings) -> list[float]:
    areas = [drug.therapeutic_area for drug in reference.drugs]
    return [
        settings.area_weights.get(area, _DEFAULT_AREA_WEIGHT) / areas.count(area) for area in areas
    ]


def _payer_weights(payers: Sequence[Payer], weights: dict[str, float]) -> list[float]:
    types = [payer.payer_type for payer in payers]
    shared = [weights.get(kind, 0.01) / types.count(kind) for kind in types]
    return shared if sum(shared) > 0 else [1.0] * len(types)


def _pharmacies(
    draws: Draws, state: Ints, reference: Reference, settings: SimulatorSettings
) -> Ints:
    """Choose a pharmacy, more often one in the patient's region."""
    at = [pharmacy.state for pharmacy in reference.pharmacies]
    regions = [settings.states[s].region if s in settings.states else "" for s in at]
    limits = []
    for home in settings.states.values():
        near = [region == home.region for region in regions]
        shares = [(1 - settings.near_pharmacy_share) / len(at)] * len(at)
        if any(near):
            for position, is_near in enumerate(near):
                shares[position] += is_near * settings.near_pharmacy_share / sum(near)
        limits.append(np.cumsum(np.array(shares, dtype=np.float64)))
    table = np.stack(limits)
    drawn = draws.uniform("patient.pharmacy", len(state)) * table[state, -1]
    chosen = np.zeros(len(state), dtype=np.int64)
    for position in range(len(at) - 1):
        chosen += drawn >= table[state, position]
    return chosen


def _patients(
    draws: Draws, count: int, people: People, reference: Reference, settings: SimulatorSettings
) -> Patients:
    state = draws.pick("patient.state", count, [s.population for s in settings.states.values()])
    bands = settings.age_bands
    band = draws.pick("patient.age_band", count, [share for share, _, _ in bands])
    low = np.array([low for _, low, _ in bands], dtype=np.float64)[band]
    high = np.array([high for _, _, high in bands], dtype=np.float64)[band]
    age = low + draws.uniform("patient.age", count) * (high - low)
    payer = np.where(
        age >= settings.medicare_age,
        draws.pick(
            "patient.payer",
            count,
            _payer_weights(reference.payers, settings.payer_weights_from_65),
        ),
        draws.pick(
            "patient.payer",
            count,
            _payer_weights(reference.payers, settings.payer_weights_under_65),
        ),
    )
    area_codes = np.array(
        [len(s.area_codes) * PHONE_LINES for s in settings.states.values()], dtype=np.int64
    )
    names = len(people.female)
    return Patients(
        drug=draws.pick("patient.drug", count, _drug_weights(reference, settings)),
        pharmacy=_pharmacies(draws, state, reference, settings),
        place=state * PLACES_PER_STATE + draws.below("patient.place", count, PLACES_PER_STATE),
        payer=payer,
        gender=draws.pick("patient.gender", count, list(settings.gender_weights.values())),
        first_name=draws.below("patient.first_name", count, min(names, len(people.male))),
        last_name=draws.below("patient.last_name", count, len(people.last)),
        street=draws.below("patient.street", count, len(people.streets)),
        house_number=draws.below("patient.house_number", count, 9_899) + 100,
        phone=(draws.uniform("patient.phone", count) * area_codes[state]).astype(np.int64),
        prescriber=draws.below("patient.prescriber", count, len(people.npis)),
        birth_day=(age * 365.25).astype(np.int64) + 1,
        is_centralised=draws.chance("patient.centralised", count, settings.centralised_share),
    )


def _profiles(
    clock: LocalClock, days: int, extra: int, reference: Reference, settings: SimulatorSettings
) -> list[ArrivalProfile]:
    weights = (settings.weekday_weights, settings.half_hour_weights)
    by_zone: dict[str, ArrivalProfile] = {}
    for position, pharmacy in enumerate(reference.pharmacies):
        if pharmacy.time_zone not in by_zone:
            by_zone[pharmacy.time_zone] = ArrivalProfile(clock, position, days, extra, weights)
    return [by_zone[pharmacy.time_zone] for pharmacy in reference.pharmacies]


def _between(
    profiles: list[ArrivalProfile], pharmacy: Ints, since: Ints, until: Ints, share: Floats
) -> Ints:
    """Draw a time of each interval by the profile of each pharmacy."""
    at = np.zeros(len(since), dtype=np.int64)
    for position, profile in enumerate(profiles):
        here = np.flatnonzero(pharmacy == position)
        low, high = profile.share_until(since[here]), profile.share_until(until[here])
        at[here] = profile.time_of(low + share[here] * (high - low))
    return np.clip(at, since, until - 1)


def make_demand(
    draws: Draws,
    orders: int,
    clock: LocalClock,
    days: int,
    people: People,
    reference: Reference,
    settings: SimulatorSettings,
) -> Demand:
    """Draw patients and their orders within the window.

    Established patients place their first order anywhere in a refill cycle, new ones anywhere in
    the window; each therapy then goes on from fill to fill. Patients are taken until there are
    enough orders.

    Args:
        draws: The run's random streams.
        orders: How many orders.
        clock: Local time at the pharmacies.
        days: Length of the window.
        people: Pools of names and places.
        reference: The seeds.
        settings: The parameters.
    """
    patients = _patients(draws, orders, people, reference, settings)
    lead = settings.refill_lead_days
    profiles = _profiles(clock, days, lead + 1, reference, settings)
    supply = np.array(
        [fill_of(drug.brand_name, settings)[1] for drug in reference.drugs], dtype=np.int64
    )[patients.drug]
    end = days * DAY
    is_established = draws.chance("patient.established", orders, settings.established_share)
    first_until = np.where(is_established, np.minimum(supply * DAY, end), end)
    nothing = np.zeros(orders, dtype=np.int64)
    share = draws.uniform("order.first", orders)
    placed = _between(profiles, patients.pharmacy, nothing, first_until, share)

    patient_parts, placed_parts = [np.arange(orders, dtype=np.int64)], [placed]
    refill_parts = [is_established]
    going, last = patient_parts[0], placed
    fill = 1
    while len(going):
        goes_on = draws.chance(f"order.continues.{fill}", orders, settings.refill_continues)
        since = last + np.maximum(supply[going] - lead, 1) * DAY
        goes_on_here = goes_on[going] & (since < end)
        going, since = going[goes_on_here], since[goes_on_here]
        share = draws.uniform(f"order.refill.{fill}", orders)[going]
        last = _between(profiles, patients.pharmacy[going], since, since + lead * DAY, share)
        inside = last < end
        going, last = going[inside], last[inside]
        patient_parts.append(going)
        placed_parts.append(last)
        refill_parts.append(np.ones(len(going), dtype=np.bool_))
        fill += 1

    patient, placed = np.concatenate(patient_parts), np.concatenate(placed_parts)
    is_refill = np.concatenate(refill_parts)
    by_patient = np.argsort(patient, kind="stable")[:orders]
    by_time = by_patient[np.argsort(placed[by_patient], kind="stable")]
    return Demand(patients, patient[by_time], placed[by_time], is_refill[by_time])
