"""Messages that real systems might send and no test data generator thinks of."""

import itertools
import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from ingestion.events import Message

# Each is the `data` of a placement, as text: some of it no JSON writer would write. Faces are
# written as they are: this build of ZetaSQL reads `\ud83d\ude00` as two unknown characters.
PLACEMENTS = (
    '{"quantity": 1e400, "days_supply": 1e2}',
    '{"quantity": 2.0005, "days_supply": 30.0}',
    '{"quantity": -2.0005, "days_supply": " 30 "}',
    '{"quantity": 0.00049999999999999999999999999999999999999999999999}',
    f'{{"quantity": {"9" * 5000}, "days_supply": 0.{"0" * 5000}1}}',
    f'{{"quantity": 1.{"4" * 5000}, "days_supply": {"1" * 15}}}',
    '{"quantity": 999999999999999.9995}',
    '{"quantity": "1,000", "days_supply": "1e2"}',
    '{"quantity": "+5", "days_supply": "007"}',
    '{"quantity": "-0", "days_supply": -0}',
    '{"quantity": 12345678901234.5E-10, "days_supply": 3E+1}',
    '{"quantity": true, "days_supply": [30]}',
    '{"pharmacy_id": " RX-Memphis\\t", "payer_id": "\\n", "priority": "STAT"}',
    '{"pharmacy_id": "a \\"b\\" \\\\ c, d:e", "payer_id": 7.50, "priority": "s\\u0061me day"}',
    '{"pharmacy_id": "😀 e\\u0301 é", "payer_id": {}, "channel": "e-Rx"}',
    '{"pharmacy_id": "", "payer_id": null, "channel": " \\u00a0 "}',
    '{"ndc": "0002-1433-80", "patient": {"patient_id": 17, "zip": 2139, "state": " ny "}}',
    '{"ndc": "50242-040-62", "patient": {"patient_id": "p", "zip": "03601-1234"}}',
    '{"ndc": "58406-0445-4", "patient": {"patient_id": "p", "zip": "100011234"}}',
    '{"ndc": 58406044504, "patient": {"patient_id": "q", "date_of_birth": "1936-02-29"}}',
    '{"ndc": "0074055402", "patient": {"patient_id": "q", "date_of_birth": "1937-02-29"}}',
    '{"ndc": "\\uff15\\uff18\\uff14", "patient": {"gender": "Female ", "zip": "٠٢١٣٩"}}',
    '{"patient": [], "priority": {"a": "b"}}',
    '{"patient": null}',
    '{"patient": {}, "unknown": [[[{"a": "}{,\\"}"}]]]}',
    '{ "quantity" : 1 , "days.supply" : 2, "days_supply" : 3 }',
    "{}",
)

# Each is an event of one order, by the kind it is and its `data`
EVENTS = (
    ("insurance_validation", '{"status": "Rejected", "reject_code": " 3w "}'),
    ("insurance_validation", '{"status": "approved", "copay_amount": 2.345}'),
    ("insurance_validation", '{"status": "approved", "copay_amount": "-2.345"}'),
    ("insurance_validation", '{"status": "APPROVED ", "plan_paid_amount": "$5.00"}'),
    ("insurance_validation", '{"status": "?", "copay_amount": 1e-400}'),
    ("insurance_validation", '{"status": null, "copay_amount": 0.005}'),
    ("prior_authorization", '{"status": "submitted", "reference": "\\u0000bc"}'),
    ("prior_authorization", '{"status": "Denied"}'),
    ("prior_authorization", '{"status": 5}'),
    ("order_dispensed", '{"lot_number": " \\"L,1\\" ", "verified_by_role": false}'),
    ("order_shipped", '{"carrier_id": "UPS", "promised_delivery_at": "2026-03-08T07:30:00Z"}'),
    ("order_shipped", '{"carrier_id": 9, "promised_delivery_at": "2026-02-29T07:30:00Z"}'),
    ("order_shipped", '{"promised_delivery_at": "2024-02-29t23:59:59.9999999+14:00"}'),
    ("order_shipped", '{"promised_delivery_at": "2026-03-08 02:30:00-05:00"}'),
    ("order_shipped", '{"promised_delivery_at": "2100-12-31T23:59:59.999999Z"}'),
    ("order_shipped", '{"promised_delivery_at": "2101-01-01T00:00:00Z", "cold_chain": "TRUE"}'),
    ("order_shipped", '{"promised_delivery_at": "2026-03-08T24:00:00Z", "cold_chain": "yes"}'),
    ("order_shipped", '{"promised_delivery_at": "2026-03-08T23:59:60Z", "cold_chain": 1}'),
    ("shipment_scanned", '{"status": "Attempt Fail", "temperature_c": -0.0005}'),
    ("shipment_scanned", '{"status": "exception", "temperature_c": 1E-7}'),
    ("shipment_scanned", '{"status": "out-for-delivery", "temperature_c": "4.5"}'),
    ("shipment_scanned", '{"status": "delivered", "exception_code": ["x"]}'),
    ("order_delivered", '{"delivered_at": "1999-12-31T23:59:59Z", "minutes_out_of_range": 0}'),
    ("order_delivered", '{"delivered_at": "soon", "minutes_out_of_range": "0.0004"}'),
    ("order_delivered", '{"minutes_out_of_range": 0.0005}'),
    ("order_cancelled", '{"reason": "changed \\ud83d mind"}'),
    ("order_cancelled", "{}"),
)

# By code points, by UTF-16 units and by any locale these sort differently.
IDS = ("a", "B", "b", "é", "e\u0301", "\uff5a", "😀", "Z", "_", "-", "10", "9")


def messages(published: datetime) -> Iterator[Message]:
    """Every one of them, and copies: of events, of messages, and under another order's name.

    Args:
        published: When the first is published; the others follow by milliseconds.
    """
    numbers = itertools.count()

    def message(event: str) -> Message:
        number = next(numbers)
        moment = published + timedelta(milliseconds=number)
        return Message(f"nasty-{number:04d}", event.encode("utf-8", "surrogatepass"), {}, moment)

    def event(kind: str, event_id: str, order_id: str, at: str, data: str) -> str:
        # put together as text: a JSON writer would mend what is meant to be odd
        return (
            f'{{"event_id": {json.dumps(event_id)}, "event_type": "{kind}",'
            f' "order_id": {json.dumps(order_id)}, "event_timestamp": "{at}", "data": {data}}}'
        )

    for number, data in enumerate(PLACEMENTS):
        at = f"2026-03-08T0{number % 10}:59:59.{number:06d}-05:00"
        yield message(event("order_placed", f"placed {number}", f"nasty {number}", at, data))
    for number, (kind, data) in enumerate(EVENTS):
        # all at one moment: only ranks and ids say which is first
        order = f"nasty {number % 5}"
        yield message(event(kind, f"same {number}", order, "2026-03-08T06:59:59Z", data))
    for place, name in enumerate(IDS):
        # ties that only the order of ids decides, in one order
        status = ("approved", "rejected", "pending")[place % 3]
        data = json.dumps(
            {"status": status, "copay_amount": place, "payer_id": f"payer {name}"},
            ensure_ascii=False,
        )
        at = "2026-11-01T01:30:00-05:00"
        yield message(event("insurance_validation", name, "order 😀", at, data))
    for place, name in enumerate(IDS):
        # copies, of which one names another order
        order = "order 😀" if place % 4 else "order \uff5a"
        yield message(event("order_dispensed", name, order, "2026-11-01T01:30:00-04:00", "{}"))
    # negative durations: everything before the placement
    for hour, kind in enumerate(("order_delivered", "order_shipped", "order_dispensed")):
        at = f"2023-12-31T23:0{hour}:00.000001Z"
        yield message(event(kind, f"backwards {hour}", "backwards", at, "{}"))
    yield message(event("order_placed", "backwards", "backwards", "2024-02-29T00:00:00Z", "{}"))
