"""The reference seeds the simulator takes its identifiers from."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pbm.errors import InputError

SEEDS_FOLDER: Final = Path(__file__).resolve().parent.parent.parent / "seeds"


@dataclass(frozen=True)
class Drug:
    """A drug package of the catalogue."""

    ndc11: str
    ndc_package: str
    brand_name: str
    therapeutic_area: str
    is_refrigerated: bool


@dataclass(frozen=True)
class Payer:
    """A payer and its kind, ``cash`` for patients without one."""

    payer_id: str
    payer_type: str


@dataclass(frozen=True)
class Pharmacy:
    """A pharmacy, its place and its IANA time zone."""

    pharmacy_id: str
    city: str
    state: str
    time_zone: str


@dataclass(frozen=True)
class Carrier:
    """A carrier and its share of deliveries on time, 0 to 1."""

    carrier_id: str
    on_time_rate: float


@dataclass(frozen=True)
class RejectCode:
    """An NCPDP reject code and who has to act on it."""

    reject_code: str
    actor: str


@dataclass(frozen=True)
class Reference:
    """All the seeds, in the order of their files."""

    drugs: tuple[Drug, ...]
    payers: tuple[Payer, ...]
    pharmacies: tuple[Pharmacy, ...]
    carriers: tuple[Carrier, ...]
    reject_codes: tuple[RejectCode, ...]


def _rows(folder: Path, name: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    path = folder / name
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise InputError(
            f"The seed {path} does not exist.", "Restore the seeds folder of the project."
        ) from error
    if not rows:
        raise InputError(f"The seed {path} has no rows.", "Restore the file from the repository.")
    absent = [column for column in columns if column not in rows[0]]
    if absent:
        raise InputError(
            f"The seed {path} has no column {', '.join(absent)}.",
            "Restore the column, or the file from the repository.",
        )
    return rows


def _share(path: Path, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(
            f"The seed {path} has the on_time_rate {text!r}, not a share from 0 to 1.",
            "Write 0.95 for 95 %.",
        )
    return share


def _time_zone(path: Path, name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InputError(
            f"The seed {path} has the time zone {name!r}, which nobody knows.",
            "Give an IANA name such as America/Chicago.",
        ) from error
    return name


def load_reference(folder: Path = SEEDS_FOLDER) -> Reference:
    """Read the seeds.

    Args:
        folder: Where the CSV files are.

    Raises:
        InputError: A seed is absent or empty, lacks a column or has a value that is none.
    """
    drug_columns = ("ndc11", "ndc_package", "brand_name", "therapeutic_area", "storage")
    pharmacy_columns = ("pharmacy_id", "city", "state", "time_zone")
    drugs = tuple(
        Drug(
            row["ndc11"],
            row["ndc_package"],
            row["brand_name"],
            row["therapeutic_area"],
            row["storage"].startswith(("refrigerated", "frozen")),
        )
        for row in _rows(folder, "drug_catalog.csv", drug_columns)
    )
    payers = tuple(
        Payer(row["payer_id"], row["payer_type"])
        for row in _rows(folder, "payers.csv", ("payer_id", "payer_type"))
    )
    pharmacies = tuple(
        Pharmacy(
            row["pharmacy_id"],
            row["city"],
            row["state"],
            _time_zone(folder / "pharmacies.csv", row["time_zone"]),
        )
        for row in _rows(folder, "pharmacies.csv", pharmacy_columns)
    )
    carriers = tuple(
        Carrier(row["carrier_id"], _share(folder / "carriers.csv", row["on_time_rate"]))
        for row in _rows(folder, "carriers.csv", ("carrier_id", "on_time_rate"))
    )
    reject_codes = tuple(
        RejectCode(row["reject_code"], row["actor"])
        for row in _rows(folder, "reject_codes.csv", ("reject_code", "actor"))
    )
    codes = {row.reject_code for row in reject_codes}
    for code in ("75", "3X", "92"):
        if code not in codes:
            raise InputError(
                f"The seed {folder / 'reject_codes.csv'} has no reject code {code}.",
                "Restore the code: the simulated payers answer with it.",
            )
    return Reference(drugs, payers, pharmacies, carriers, reject_codes)
