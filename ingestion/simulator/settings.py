"""Every number that shapes the simulated pharmacy, with its unit and where it comes from.

A description that ends in "Source: ..." was published by somebody else; "Illustrative, ours" is a
guess that makes the simulation plausible and must never be quoted as a fact about pharmacies. No
source was found for the mix of reject codes or for the spread of any stage: every ``sigma`` is
ours, and so is each median that names no source.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Weights = dict[str, Annotated[float, Field(ge=0)]]


class Dwell(BaseModel):
    """How long a step takes: lognormal, cut at four standard deviations.

    Attributes:
        median_hours: Half of the orders take less, in hours.
        sigma: Standard deviation of the logarithm, without a unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    median_hours: float = Field(gt=0)
    sigma: float = Field(ge=0)


class CopayBand(BaseModel):
    """A range of what patients pay, uniform within.

    Attributes:
        new_share: Weight among first fills.
        refill_share: Weight among refills.
        low: From this amount, in US dollars.
        high: To this amount, in US dollars.
        abandoned: Share of the patients who do not take the drug at this price.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    new_share: Share
    refill_share: Share
    low: int = Field(ge=0)
    high: int = Field(gt=0)
    abandoned: Share


class State(BaseModel):
    """Where patients live.

    Attributes:
        population: Millions of residents.
        region: Census region: ``northeast``, ``midwest``, ``south`` or ``west``.
        area_codes: Telephone area codes of the state (not all of them).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    population: float = Field(gt=0)
    region: str
    area_codes: tuple[str, ...]


# Population: resident population of the 2020 Census, in millions. Regions: the Census Bureau's
# four. Area codes: North American Numbering Plan.
_STATES: Final = """
AL 5.02 south 205 251 | AK 0.73 west 907 | AZ 7.15 west 480 602 520 | AR 3.01 south 501 479
CA 39.54 west 213 415 619 916 | CO 5.77 west 303 719 | CT 3.61 northeast 203 860
DE 0.99 south 302 | DC 0.69 south 202 | FL 21.54 south 305 407 813 904 | GA 10.71 south 404 912
HI 1.46 west 808 | ID 1.84 west 208 | IL 12.81 midwest 312 217 630 | IN 6.79 midwest 317 219
IA 3.19 midwest 515 319 | KS 2.94 midwest 316 785 | KY 4.51 south 502 859
LA 4.66 south 504 225 | ME 1.36 northeast 207 | MD 6.18 south 410 301
MA 7.03 northeast 617 413 508 | MI 10.08 midwest 313 616 517 | MN 5.71 midwest 612 218
MS 2.96 south 601 662 | MO 6.15 midwest 314 816 | MT 1.08 west 406 | NE 1.96 midwest 402 308
NV 3.10 west 702 775 | NH 1.38 northeast 603 | NJ 9.29 northeast 201 609 732
NM 2.12 west 505 575 | NY 20.20 northeast 212 518 716 914 | NC 10.44 south 704 919 336
ND 0.78 midwest 701 | OH 11.80 midwest 216 614 513 | OK 3.96 south 405 918
OR 4.24 west 503 541 | PA 13.00 northeast 215 412 717 | RI 1.10 northeast 401
SC 5.12 south 803 843 | SD 0.89 midwest 605 | TN 6.91 south 615 901 423
TX 29.15 south 214 713 512 210 | UT 3.27 west 801 435 | VT 0.64 northeast 802
VA 8.63 south 804 703 757 | WA 7.71 west 206 509 | WV 1.79 south 304 | WI 5.89 midwest 414 608
WY 0.58 west 307
"""


def _states() -> dict[str, State]:
    rows = (row.split() for line in _STATES.strip().splitlines() for row in line.split("|"))
    return {
        row[0]: State(population=float(row[1]), region=row[2], area_codes=tuple(row[3:]))
        for row in rows
    }


# Brand, quantity per fill, days of supply: usual packs and cycles, not dosing advice.
_FILLS: Final = """
Humira 2 28 | Enbrel 4 28 | Stelara 1 84 | Cosentyx 2 28 | Dupixent 2 28 | Otezla 60 30
Xeljanz 60 30 | Rinvoq 30 30 | Skyrizi 2 84 | Taltz 1 28 | Tremfya 1 56 | Cimzia 1 28
Simponi 1 28 | Actemra 4 28 | Orencia 4 28 | Kevzara 2 28 | Olumiant 30 30 | Gilenya 30 30
Aubagio 28 28 | Copaxone 30 30 | Tecfidera 60 30 | Avonex 4 28 | Mayzent 30 30 | Zeposia 30 30
Xolair 2 28 | Nucala 1 28 | Fasenra 1 56 | Repatha 2 28 | Epclusa 28 28 | Mavyret 84 28
Biktarvy 30 30 | Ibrance 21 28 | Imbruvica 28 28 | Revlimid 28 28 | Xtandi 120 30
Tagrisso 30 30 | Jakafi 60 30 | Venclexta 120 30 | Afinitor 28 28 | Opsumit 30 30
Adempas 90 30 | Letairis 30 30 | Uptravi 60 30 | Trikafta 84 28 | Kalydeco 56 28
Pulmozyme 75 30 | Forteo 2.4 28 | Tymlos 1.56 30 | Aimovig 1 30 | Ajovy 1.5 30 | Emgality 1 30
Hemlibra 4 28 | Ofev 60 30 | Esbriet 270 30 | Austedo 60 30 | Ingrezza 30 30 | Aranesp 4 28
Neulasta 0.6 21 | Prograf 60 30
"""


def _fills() -> dict[str, tuple[str, int]]:
    rows = (row.split() for line in _FILLS.strip().splitlines() for row in line.split("|"))
    return {brand: (quantity, int(days)) for brand, quantity, days in rows}


class SimulatorSettings(BaseModel):
    """The parameters of the process model. They are part of what names a generation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # ---------- demand
    weekday_weights: tuple[float, ...] = Field(
        default=(1.30, 1.12, 1.05, 1.00, 0.95, 0.33, 0.25),
        min_length=7,
        max_length=7,
        description="Placements by weekday, Monday first, relative. The Monday peak is assumed. "
        "Illustrative, ours.",
    )
    half_hour_weights: tuple[float, ...] = Field(
        default=(0.05,) * 12
        + (0.10, 0.15, 0.30, 0.50, 0.90, 1.20, 1.50, 1.70, 1.90, 2.60, 2.60, 2.00)
        + (1.70, 1.50, 1.50, 1.60, 1.70, 1.70, 1.60, 1.40, 1.20, 1.00, 0.80, 0.60)
        + (0.50, 0.45, 0.40, 0.35, 0.30, 0.25, 0.20, 0.15, 0.10, 0.08, 0.06, 0.05),
        min_length=48,
        max_length=48,
        description="Placements by half hour of the pharmacy's local day from midnight, relative. "
        "The peak from 10:30 to 11:30 is assumed. Illustrative, ours.",
    )
    established_share: Share = Field(
        default=0.65,
        description="Share of patients already on therapy, all of whose orders are refills. "
        "Illustrative, ours.",
    )
    refill_continues: Share = Field(
        default=0.95,
        description="Chance that a therapy goes on to its next fill. Illustrative, ours.",
    )
    refill_lead_days: int = Field(
        default=7,
        ge=1,
        description="Refills are placed in the last so many days. Illustrative, ours.",
    )
    priority_weights: Weights = Field(
        default={"standard": 0.85, "expedited": 0.12, "stat": 0.03},
        description="Mix of priorities. Illustrative, ours.",
    )
    priority_speed: dict[str, float] = Field(
        default={"standard": 1.0, "expedited": 0.5, "stat": 0.15},
        description="Factor on each dwell until shipping, by priority. Illustrative, ours.",
    )
    channel_weights: Weights = Field(
        default={"erx": 0.70, "fax": 0.16, "phone": 0.08, "portal": 0.06},
        description="How first fills come in; refills come as 'refill'. Illustrative, ours.",
    )
    area_weights: Weights = Field(
        default={
            "Immunology": 30,
            "Immunology/Dermatology": 6,
            "Multiple sclerosis": 10,
            "Oncology": 14,
            "HIV": 6,
            "Migraine": 7,
            "Severe asthma": 5,
            "Hepatitis C": 4,
        },
        description="Patients by therapeutic area, relative, shared among the area's drugs; 2 for "
        "an area not named. Illustrative, ours.",
    )
    fills: dict[str, tuple[str, int]] = Field(
        default_factory=_fills,
        description="Quantity and days of supply of one fill, by brand name; 30 and 30 for a brand "
        "not named. Not dosing advice. Illustrative, ours.",
    )
    states: dict[str, State] = Field(
        default_factory=_states,
        description="Where patients live. Source: US Census 2020 (population in millions, regions) "
        "and the North American Numbering Plan.",
    )
    near_pharmacy_share: Share = Field(
        default=0.7,
        description="Share of patients served from their own region, where it has a pharmacy. "
        "Illustrative, ours.",
    )
    age_bands: tuple[tuple[float, int, int], ...] = Field(
        default=((0.40, 30, 45), (0.36, 45, 65), (0.23, 65, 90), (0.01, 90, 98)),
        description="Share of patients, from this age, to below this age, in years. No children "
        "and nobody born since 2000: a birth date then never equals a date of the warehouse, so "
        "that a search for leaks can take it as text. Illustrative, ours.",
    )
    gender_weights: Weights = Field(
        default={"female": 0.54, "male": 0.44, "other": 0.01, "unknown": 0.01},
        description="Patients by the gender their records name. Illustrative, ours.",
    )
    medicare_age: int = Field(
        default=65,
        ge=0,
        description="Age in years from which the second mix of payers holds. Source: Medicare.",
    )
    payer_weights_under_65: Weights = Field(
        default={
            "commercial": 0.60,
            "exchange": 0.11,
            "medicaid": 0.21,
            "federal": 0.05,
            "medicare_part_d": 0.02,
            "cash": 0.01,
        },
        description="Mix of payer types below 65 years, shared among the type's payers. "
        "Illustrative, ours.",
    )
    payer_weights_from_65: Weights = Field(
        default={
            "commercial": 0.09,
            "exchange": 0.01,
            "medicaid": 0.03,
            "federal": 0.05,
            "medicare_part_d": 0.81,
            "cash": 0.01,
        },
        description="Mix of payer types from 65 years. Illustrative, ours.",
    )
    prescribers: int = Field(
        default=400, ge=1, le=900, description="Number of prescribers. Illustrative, ours."
    )

    # ---------- insurance
    claim_answer: Dwell = Field(
        default=Dwell(median_hours=0.4, sigma=1.0),
        description="From a claim to the payer's answer. Illustrative, ours.",
    )
    pending_share: Share = Field(
        default=0.04, description="Claims that wait for the payer, then pass. Illustrative, ours."
    )
    pending_answer: Dwell = Field(
        default=Dwell(median_hours=2.0, sigma=0.8),
        description="From 'pending' to the final answer. Illustrative, ours.",
    )
    prior_auth_new: Share = Field(
        default=0.737,
        description="First fills that need a prior authorisation: 2,352 of 3,192. "
        "Source: ACR 2017, abstract 205 (rheumatology and dermatology).",
    )
    prior_auth_refill: Share = Field(
        default=0.05, description="Refills whose authorisation must be renewed. Illustrative, ours."
    )
    prior_auth_pending_share: Share = Field(
        default=0.25,
        description="Of these, claims first answered 'pending' instead of rejected. "
        "Illustrative, ours.",
    )
    prior_auth_approved_first: Share = Field(
        default=0.898, description="Approved at the first decision. Source: ACR 2017, abstract 205."
    )
    prior_auth_approved_finally: Share = Field(
        default=0.934, description="Approved in the end. Source: ACR 2017, abstract 205."
    )
    prior_auth_appeal_share: Share = Field(
        default=0.6, description="First denials that are appealed. Illustrative, ours."
    )
    prior_auth_paperwork: Dwell = Field(
        default=Dwell(median_hours=3.0, sigma=0.9),
        description="From the payer's answer to the submission. Illustrative, ours.",
    )
    prior_auth_appeal: Dwell = Field(
        default=Dwell(median_hours=24.0, sigma=0.6),
        description="From a denial to the appeal. Illustrative, ours.",
    )
    centralised_share: Share = Field(
        default=0.85,
        description="Patients whose paperwork a centralised service does, the rest by usual "
        "clinics. Illustrative, ours.",
    )
    decision_centralised: Dwell = Field(
        default=Dwell(median_hours=0.53 * 24, sigma=0.8),
        description="From submission to decision, centralised: 0.53 days. Source: UC Davis, JMCP "
        "2016 (the spread is ours).",
    )
    decision_usual: Dwell = Field(
        default=Dwell(median_hours=7.02 * 24, sigma=0.6),
        description="From submission to decision, usual clinics: 7.02 days. Source: UC Davis, JMCP "
        "2016 (the spread is ours).",
    )
    authorisation_not_found: Share = Field(
        default=0.04, description="Resubmitted claims rejected with 3X once. Illustrative, ours."
    )
    reject_new: Share = Field(
        default=0.12, description="First fills rejected for another reason. Illustrative, ours."
    )
    reject_refill: Share = Field(
        default=0.07, description="Refills rejected for another reason. Illustrative, ours."
    )
    reject_weights: Weights = Field(
        default={
            "70": 14,
            "76": 16,
            "79": 22,
            "88": 9,
            "78": 6,
            "07": 6,
            "65": 8,
            "71": 4,
            "56": 3,
            "50": 2,
            "77": 2,
            "92": 3,
            "99": 5,
        },
        description="Mix of NCPDP reject codes besides prior authorisation. No source was found. "
        "Illustrative, ours.",
    )
    fix_by_actor: dict[str, Dwell] = Field(
        default={
            "payer_or_prescriber": Dwell(median_hours=20, sigma=0.7),
            "our_data": Dwell(median_hours=3, sigma=0.8),
            "time": Dwell(median_hours=48, sigma=0.5),
            "nobody_retry": Dwell(median_hours=0.7, sigma=0.6),
        },
        description="From a rejection to the next answer, by who has to act. Illustrative, ours.",
    )
    fix_by_unknown: Dwell = Field(
        default=Dwell(median_hours=20, sigma=0.7),
        description="The same for an actor not named. Illustrative, ours.",
    )
    second_answer_approved: Share = Field(
        default=0.82, description="Resubmissions that pass. Illustrative, ours."
    )
    third_answer_approved: Share = Field(
        default=0.75, description="Second resubmissions that pass. Illustrative, ours."
    )
    copay_bands: tuple[CopayBand, ...] = Field(
        default=(
            CopayBand(new_share=0.48, refill_share=0.55, low=0, high=25, abandoned=0.005),
            CopayBand(new_share=0.30, refill_share=0.34, low=25, high=100, abandoned=0.01),
            CopayBand(new_share=0.15, refill_share=0.10, low=100, high=500, abandoned=0.08),
            CopayBand(new_share=0.07, refill_share=0.01, low=501, high=2500, abandoned=0.60),
        ),
        description="What patients pay and how many abandon: 60 % above 500 USD. Source: IQVIA, "
        "cited by others, for that share; everything else is illustrative, ours.",
    )
    medicaid_copay_high: int = Field(
        default=8,
        ge=1,
        description="Medicaid's copay is 0 to this, in US dollars. Illustrative, ours.",
    )
    plan_paid_usd: dict[str, float] = Field(
        default={
            "Immunology": 6200,
            "Oncology": 14500,
            "Cystic fibrosis": 22000,
            "Hepatitis C": 12500,
            "Multiple sclerosis": 7100,
            "HIV": 3600,
            "Migraine": 650,
            "Hypercholesterolemia": 520,
            "Transplant": 480,
            "Hemophilia A": 24000,
        },
        description="Median paid by the plan for a fill, in US dollars, by area; 5,800 for an area "
        "not named. Illustrative, ours.",
    )
    plan_paid_sigma: float = Field(
        default=0.25, ge=0, description="Its lognormal spread. Illustrative, ours."
    )

    # ---------- fulfilment
    fill_centralised: Dwell = Field(
        default=Dwell(median_hours=2.49 * 24, sigma=0.5),
        description="From approval to dispensing after an intervention, centralised: 2.49 days. "
        "Source: UC Davis, JMCP 2016 (the spread is ours).",
    )
    fill_usual: Dwell = Field(
        default=Dwell(median_hours=5.52 * 24, sigma=0.5),
        description="The same for usual clinics: 5.52 days. Source: UC Davis, JMCP 2016 (the "
        "spread is ours).",
    )
    fill_clean: Dwell = Field(
        default=Dwell(median_hours=16, sigma=0.5),
        description="From approval to dispensing without an intervention, set so that at least "
        "98 % ship within 3 business days. Source: FEHB PBM contract for that target; the median "
        "and spread are illustrative, ours.",
    )
    packing: Dwell = Field(
        default=Dwell(median_hours=3, sigma=0.6),
        description="From dispensing to hand-over to the carrier. Illustrative, ours.",
    )
    warehouse_hours: tuple[int, int] = Field(
        default=(6, 22),
        description="Dispensing and hand-over happen between these local hours, every day, except "
        "for stat orders. Illustrative, ours.",
    )
    cancelled_share: Share = Field(
        default=0.015,
        description="Orders called off at any moment before shipping. Illustrative, ours.",
    )
    cancel_reason_weights: Weights = Field(
        default={
            "patient_request": 0.4,
            "prescriber_cancelled": 0.25,
            "duplicate_order": 0.2,
            "therapy_changed": 0.15,
        },
        description="Why they are called off. Illustrative, ours.",
    )
    cancel_after_denial: Dwell = Field(
        default=Dwell(median_hours=48, sigma=0.6),
        description="From a final denial to the cancellation. Illustrative, ours.",
    )
    cancel_after_price: Dwell = Field(
        default=Dwell(median_hours=20, sigma=0.5),
        description="From approval to a patient's refusal of the price, at most until shipping. "
        "Illustrative, ours.",
    )

    # ---------- delivery
    carrier_weights: Weights = Field(
        default={"ups": 0.5, "fedex_express": 0.38, "usps": 0.12},
        description="Shipments by carrier, 0.1 for a carrier not named. How many arrive on time is "
        "in the seed of carriers (ShipMatrix). Illustrative, ours.",
    )
    service_weights: dict[str, Weights] = Field(
        default={
            "standard": {"ground": 0.45, "two_day": 0.45, "overnight": 0.10},
            "standard_cold": {"two_day": 0.35, "overnight": 0.65},
            "expedited": {"overnight": 1.0},
            "stat": {"same_day": 0.3, "overnight": 0.7},
        },
        description="Service level by priority and cold chain. Illustrative, ours.",
    )
    service_days: dict[str, int] = Field(
        default={"ground": 3, "two_day": 2, "overnight": 1},
        description="Promised so many days after hand-over; the same day within 8 hours. "
        "Illustrative, ours.",
    )
    service_hour: dict[str, int] = Field(
        default={"ground": 20, "two_day": 20, "overnight": 12},
        description="Promised by this hour, local to the pharmacy. Illustrative, ours.",
    )
    same_day_hours: int = Field(
        default=8,
        ge=2,
        description="Same-day service is promised within so many hours. Illustrative, ours.",
    )
    delivery_span_hours: dict[str, int] = Field(
        default={"ground": 10, "two_day": 10, "overnight": 4, "same_day": 6},
        description="Deliveries on time come within so many hours before the promise. "
        "Illustrative, ours.",
    )
    ground_early_share: Share = Field(
        default=0.3, description="Ground parcels a day early. Illustrative, ours."
    )
    delivery_hours: tuple[int, int] = Field(
        default=(8, 20),
        description="Late deliveries come between these hours, local to the pharmacy. "
        "Illustrative, ours.",
    )
    lateness: Dwell = Field(
        default=Dwell(median_hours=20, sigma=0.7),
        description="How late a late delivery is. Illustrative, ours.",
    )
    late_attempt_failed: Share = Field(
        default=0.35, description="Late deliveries after a failed attempt. Illustrative, ours."
    )
    late_exception: Share = Field(
        default=0.35, description="Late deliveries after an exception. Illustrative, ours."
    )
    on_time_exception: Share = Field(
        default=0.01, description="Deliveries on time in spite of an exception. Illustrative, ours."
    )
    pickup_share: Share = Field(
        default=0.25, description="Failed attempts that the patient picks up. Illustrative, ours."
    )
    exception_weights: Weights = Field(
        default={
            "weather_delay": 0.35,
            "mechanical_delay": 0.25,
            "address_correction": 0.25,
            "damaged_label": 0.15,
        },
        description="Codes of exceptions. Illustrative, ours.",
    )
    lost_share: Share = Field(
        default=0.0015, description="Shipments that never arrive. Illustrative, ours."
    )
    lost_expires_hours: int = Field(
        default=240, ge=1, description="Until the carrier gives up, in hours. Illustrative, ours."
    )
    info_received_share: Share = Field(
        default=0.12, description="Shipments with a scan of the label alone. Illustrative, ours."
    )
    second_scan_share: Share = Field(
        default=0.25,
        description="Shipments with a second scan in transit, besides all of the cold chain. "
        "Illustrative, ours.",
    )
    first_scan_moment: tuple[Share, Share] = Field(
        default=(0.06, 0.35),
        description="The first scan in transit comes within this part of the way. "
        "Illustrative, ours.",
    )
    second_scan_moment: tuple[Share, Share] = Field(
        default=(0.40, 0.70),
        description="The second one comes within this part of the way. Illustrative, ours.",
    )
    exception_moment: tuple[Share, Share] = Field(
        default=(0.72, 0.85),
        description="Exceptions come within this part of the way. Illustrative, ours.",
    )
    out_for_delivery_share: Share = Field(
        default=0.85, description="Deliveries with that scan. Illustrative, ours."
    )
    delivered_scan_share: Share = Field(
        default=0.30, description="Deliveries with a scan as well as the event. Illustrative, ours."
    )
    unreported_share: Share = Field(
        default=0.01, description="Deliveries known from the scan alone. Illustrative, ours."
    )
    delivered_at_share: Share = Field(
        default=0.75,
        description="Delivery events that carry delivered_at and come some minutes after. "
        "Illustrative, ours.",
    )
    report_delay_minutes: int = Field(
        default=20, ge=1, description="At most so many. Illustrative, ours."
    )
    excursion_share: Share = Field(
        default=0.012, description="Cold shipments that get too warm. Illustrative, ours."
    )
    excursion_length: Dwell = Field(
        default=Dwell(median_hours=0.75, sigma=0.8),
        description="For how long. Illustrative, ours.",
    )
    cold_mean_c: float = Field(
        default=5.0,
        description="Temperature of a cold shipment, degrees Celsius. Illustrative, ours.",
    )
    cold_sd_c: float = Field(
        default=0.8,
        description="Its standard deviation, cut to 2 to 8 degrees Celsius. Illustrative, ours.",
    )
    warm_low_c: float = Field(
        default=8.6,
        description="Lowest reading of an excursion, degrees Celsius. Illustrative, ours.",
    )
    warm_high_c: float = Field(
        default=14.9,
        description="Highest reading of an excursion, degrees Celsius. Illustrative, ours.",
    )

    # ---------- the feed
    missing_payer_share: Share = Field(
        default=0.003,
        description="Placements without a payer, which the payer's answer gives later. "
        "Illustrative, ours.",
    )
    unreadable_ndc_share: Share = Field(
        default=0.002,
        description="Placements with ten bare digits as NDC, which nobody can read. "
        "Illustrative, ours.",
    )
    late_delay: Dwell = Field(
        default=Dwell(median_hours=6, sigma=1.2),
        description="How much later a late event arrives. Illustrative, ours.",
    )
    duplicate_delay: Dwell = Field(
        default=Dwell(median_hours=0.2, sigma=2.0),
        description="How much later an event is sent again. Illustrative, ours.",
    )
    altered_duplicate_share: Share = Field(
        default=0.05,
        description="Copies that also carry 'resend_count', a field nobody reads. "
        "Illustrative, ours.",
    )

    # ---------- incidents
    incident_hours: dict[str, int] = Field(
        default={
            "payer_outage": 12,
            "winter_storm": 60,
            "lost_scans": 48,
            "cold_chain_failure": 48,
            "stuck_at_dispensing": 72,
        },
        description="How long each incident lasts, in hours, at most 40 % of the window. "
        "Illustrative, ours.",
    )
    storm_region: str = Field(
        default="northeast", description="Region that the winter storm closes. Illustrative, ours."
    )
    outage_backlog: Dwell = Field(
        default=Dwell(median_hours=1.5, sigma=0.6),
        description="From the end of an outage to the answer. Illustrative, ours.",
    )
    storm_backlog: Dwell = Field(
        default=Dwell(median_hours=18, sigma=0.5),
        description="From the end of a storm to the delivery. Illustrative, ours.",
    )
    dispensing_backlog: Dwell = Field(
        default=Dwell(median_hours=6, sigma=0.6),
        description="From the end of the stoppage to dispensing. Illustrative, ours.",
    )
    failure_length: Dwell = Field(
        default=Dwell(median_hours=4, sigma=0.4),
        description="Time out of range when cooling fails. Illustrative, ours.",
    )
