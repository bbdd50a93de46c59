"""The words of the pages for the codes of the warehouse."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

STAGES: Final[Mapping[str, str]] = {
    "placed_to_approved": "Placed → approved",
    "approved_to_dispensed": "Approved → dispensed",
    "dispensed_to_shipped": "Dispensed → shipped",
    "shipped_to_delivered": "Shipped → delivered",
}
# as they stand in an address
NEXT_STAGES: Final[Mapping[str, str]] = {
    "placed_to_approved": "To approval",
    "approved_to_dispensed": "To dispensing",
    "dispensed_to_shipped": "To shipping",
    "shipped_to_delivered": "To delivery",
}
CLOCKS: Final[Mapping[str, str]] = {
    "placed_to_shipped": "Placed → shipped",
    "placed_to_delivered": "Placed → delivered",
}
STATUSES: Final[Mapping[str, str]] = {
    "placed": "Placed",
    "insurance_pending": "Insurance pending",
    "insurance_rejected": "Insurance rejected",
    "prior_auth_submitted": "Prior auth submitted",
    "prior_auth_denied": "Prior auth denied",
    "prior_auth_approved": "Prior auth approved",
    "insurance_approved": "Insurance approved",
    "dispensed": "Dispensed",
    "shipped": "Shipped",
    "in_transit": "In transit",
    "out_for_delivery": "Out for delivery",
    "delivery_exception": "Delivery exception",
    "delivered": "Delivered",
    "cancelled": "Cancelled",
}
"""In the order in which an order meets them."""

SEVERITIES: Final[Mapping[str, str]] = {
    "critical": "Critical",
    "late": "Late",
    "warning": "Warning",
}
PRIORITIES: Final[Mapping[str, str]] = {
    "stat": "Stat",
    "expedited": "Expedited",
    "standard": "Standard",
}
ALERTS: Final[Mapping[str, str]] = {
    "temperature": "Too warm or too cold",
    "past_promise": "Promise missed",
    "overdue": "Overdue",
    "delivery_exception": "Delivery exception",
    "no_scan": "No scan",
    "prior_auth_denied": "Prior auth denied",
    "rejected_again": "Rejected again",
}
ACTORS: Final[Mapping[str, str]] = {
    "payer_or_prescriber": "Payer or prescriber",
    "our_data": "Our own data",
    "time": "Time",
    "nobody_retry": "Nobody: send again",
    "unknown": "Not known",
}
EVENTS: Final[Mapping[str, str]] = {
    "order_placed": "Order placed",
    "insurance_validation": "Insurance",
    "prior_authorization": "Prior authorisation",
    "order_dispensed": "Dispensed",
    "order_shipped": "Shipped",
    "shipment_scanned": "Scan",
    "order_delivered": "Delivered",
    "order_cancelled": "Cancelled",
}
SOURCES: Final[Mapping[str, str]] = {
    "order_management": "Order management",
    "insurance": "Insurance",
    "warehouse_scanner": "Warehouse scanner",
    "shipping": "Shipping",
}

_NEXT_BY_TYPE: Final[Mapping[str, str]] = {
    "temperature": "Call the pharmacist on duty: the parcel is to be judged before it is used.",
    "past_promise": "Ask the carrier where the parcel is; offer the patient a replacement.",
    "delivery_exception": "Ask the carrier what is wrong, and confirm the address.",
    "no_scan": "Ask the carrier for a scan; if there is none, trace the hand-over at the dock.",
    "prior_auth_denied": "Ask the prescriber to appeal, or for an alternative that is covered.",
    "rejected_again": "Go through the last rejection with the payer before sending it again.",
}
_NEXT_BY_OBSTACLE: Final[Mapping[str, str]] = {
    "prior_authorization": "Ask the payer for the decision on the prior authorisation.",
    "payer_or_prescriber": "Ask the prescriber to answer the payer's rejection.",
    "our_data": "Correct the data that the payer rejected, and send the claim again.",
    "time": "Send the claim again on the first day on which a refill is allowed.",
}
_NEXT_BY_STAGE: Final[Mapping[str, str]] = {
    "placed_to_approved": "Ask the payer for an answer to the claim.",
    "approved_to_dispensed": "Ask the site what it waits for: stock, or the pharmacist's check.",
    "dispensed_to_shipped": "Find the parcel at the dock and put it on the next pick-up.",
    "shipped_to_delivered": "Ask the carrier when the parcel will be there.",
}


def next_step(alert_type: str, obstacle: str, stage: str) -> str:
    """What to do about an alert, in a sentence. Ours: nobody prescribes it."""
    if alert_type in _NEXT_BY_TYPE:
        return _NEXT_BY_TYPE[alert_type]
    if stage == "placed_to_approved" and obstacle in _NEXT_BY_OBSTACLE:
        return _NEXT_BY_OBSTACLE[obstacle]
    return _NEXT_BY_STAGE.get(stage, "Open the order and look at its last event.")


def word(words: Mapping[str, str], code: str | None) -> str:
    """The word for a code; a code without one as it is, with spaces."""
    if code is None:
        return "—"
    return words.get(code, code.replace("_", " "))


def at(moment: datetime | None) -> str:
    """A moment, such as ``24 Nov 18:05``; a dash where it is not known."""
    return "—" if moment is None else moment.astimezone(UTC).strftime("%d %b %H:%M")


def hours(value: Decimal | float | None) -> str:
    """Hours, as days from two days on; a dash where they are not known."""
    if value is None:
        return "—"
    number = float(value)
    return f"{number / 24:.1f} d" if abs(number) >= 48 else f"{number:.1f} h"


def share(part: float | None, whole: float | None) -> float | None:
    """One number over another as a float; None over none."""
    return None if not whole or part is None else float(part) / float(whole)


def percent(value: Decimal | float | None) -> str:
    """A share as a percentage; a dash where it is not known."""
    return "—" if value is None else f"{float(value):.1%}"


def short_key(key: str | None) -> str:
    """The beginning of a pseudonym: enough to see that two orders are one patient's."""
    return "—" if not key else f"{key[:8]}…"
