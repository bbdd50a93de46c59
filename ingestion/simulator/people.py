"""Pools of names and places, filled once from Faker: nobody in them exists.

A patient is a combination of pool entries, so a million patients need no more of Faker than a
thousand do. Text in the pools is JSON already, quotes included.
"""

import hashlib
import json
import unicodedata
from dataclasses import dataclass
from typing import Final

from faker import Faker

from ingestion.simulator.settings import SimulatorSettings

NAMES: Final = 400
STREETS: Final = 800
PLACES_PER_STATE: Final = 24
PHONE_LINES: Final = 100

# Every fifteenth name or so has letters outside ASCII, as in any patient list.
_FEMALE_EXTRA: Final = (
    "Zoë Renée Chloë Lucía Inés Sofía Noëlle Mónica Siân Anaïs María Beyza Gülşen"
)
_MALE_EXTRA: Final = "José André Ángel Jesús Björn Raúl Iñaki Sébastien Óscar Łukasz Emre Kōji"
_LAST_EXTRA: Final = (
    "Muñoz Núñez Peña García Rodríguez Gutiérrez Müller Sørensen O'Hara D'Angelo Lefèvre "
    "Ibáñez Nguyễn Öztürk Häkkinen Dvořák"
)


@dataclass(frozen=True)
class Place:
    """A city of the pool: its names are invented, its state and ZIP belong together."""

    city: str
    state: str
    zip5: str
    plus4: str


@dataclass(frozen=True)
class People:
    """The pools. Names come as (JSON text, text for an e-mail address).

    Attributes:
        female: First names.
        male: First names.
        last: Last names.
        streets: Street names, plain text without a quote or backslash.
        places: ``PLACES_PER_STATE`` for each state, in the settings' order.
        npis: Prescribers.
        digest: Hash over all of it.
    """

    female: tuple[tuple[str, str], ...]
    male: tuple[tuple[str, str], ...]
    last: tuple[tuple[str, str], ...]
    streets: tuple[str, ...]
    places: tuple[Place, ...]
    npis: tuple[str, ...]
    digest: str


def to_json(text: str) -> str:
    """Return a string as JSON, letters outside ASCII as they are."""
    return json.dumps(text, ensure_ascii=False)


def _name(text: str) -> tuple[str, str]:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return to_json(text), "".join(letter for letter in plain.lower() if letter.isalpha())


def npi(number: int) -> str:
    """Return a National Provider Identifier that nobody has.

    It starts with 2, a range that was never given out, and ends in a valid check digit (Luhn over
    ``80840`` and the first nine digits, as CMS defines it).

    Args:
        number: 0 to 99,999.
    """
    stem = f"2990{number:05d}"
    digits = [int(digit) for digit in reversed(f"80840{stem}")]
    total = sum(
        sum(divmod(digit * 2, 10)) if position % 2 == 0 else digit
        for position, digit in enumerate(digits)
    )
    return f"{stem}{-total % 10}"


def fill_pools(seed: int, settings: SimulatorSettings) -> People:
    """Fill the pools.

    Args:
        seed: The run's seed; the same seed gives the same pools.
        settings: For the states and the number of prescribers.
    """
    faker = Faker("en_US", use_weighting=False)
    faker.seed_instance(seed)
    female = [faker.first_name_female() for _ in range(NAMES)] + _FEMALE_EXTRA.split() * 2
    male = [faker.first_name_male() for _ in range(NAMES)] + _MALE_EXTRA.split() * 2
    last = [faker.last_name() for _ in range(NAMES)] + _LAST_EXTRA.split() * 2
    streets = [faker.street_name() for _ in range(STREETS)]
    places = [
        Place(
            faker.city(),
            state,
            faker.zipcode_in_state(state),
            f"{faker.random_int(1, 9998):04d}",
        )
        for state in settings.states
        for _ in range(PLACES_PER_STATE)
    ]
    npis = [npi(number) for number in range(settings.prescribers)]
    everything = json.dumps([female, male, last, streets, [vars(p) for p in places], npis])
    return People(
        female=tuple(_name(text) for text in female),
        male=tuple(_name(text) for text in male),
        last=tuple(_name(text) for text in last),
        streets=tuple(text.replace('"', "").replace("\\", "") for text in streets),
        places=tuple(places),
        npis=tuple(npis),
        digest=hashlib.sha256(everything.encode()).hexdigest(),
    )
