"""The event contract: what one message on the orders topic is, and which messages bronze takes.

The first half is the contract as data: the eight event types, the fields of their ``data``, the
codes they list and the reasons to refuse a message. The second half is :func:`check_message`, which
turns one message into one row of bronze or one dead letter and never drops or raises. Nothing here
reads or writes anything.
"""

import base64
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

from pbm.errors import ConfigurationError

# ---------------------------------------------------------------------------------------------
# The contract as data
# ---------------------------------------------------------------------------------------------

WHITE_SPACE: Final = " \t\r\n"
"""White space, everywhere in the contract: JSON's four characters and no other."""

MAX_ID_LENGTH: Final = 64
"""The longest ``event_id`` or ``order_id``, in code points."""

MAX_SCHEMA_VERSION: Final = 2_147_483_647
"""The highest ``schema_version``: what a 32-bit column holds."""

MAX_DEPTH: Final = 128
"""How many brackets may be open at once, the envelope's own included."""

EARLIEST_EVENT: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No event happened before this instant."""

LATEST_AFTER_PUBLISH: Final = timedelta(days=1)
"""How far an event's timestamp may lie after its message's publish time."""

REQUIRED_FIELDS: Final = ("event_id", "event_type", "event_timestamp", "order_id")
"""What every envelope must name, as strings, in the order in which they are checked."""


class ErrorType(StrEnum):
    """Why a message is a dead letter, in the order in which the reasons are looked for."""

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    UNSUPPORTED_TEXT = "unsupported_text"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    UNKNOWN_EVENT_TYPE = "unknown_event_type"
    INVALID_TIMESTAMP = "invalid_timestamp"


class Kind(StrEnum):
    """How silver reads a value."""

    LISTED_CODE = "listed_code"
    IDENTIFIER = "identifier"
    UPPER_CASE_CODE = "upper_case_code"
    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    NDC = "ndc"
    ZIP = "zip"
    BIRTH_DATE = "birth_date"
    OBJECT = "object"


class Field(NamedTuple):
    """One field of an event's ``data``.

    Attributes:
        name: The field's name in the JSON object.
        kind: How its value is read.
        is_expected: Whether the event needs it to be useful (the contract's star). Its absence is
            flagged by silver and never stops the event.
        codes: The listed codes, when ``kind`` is a listed code.
        decimals: The decimals kept, when ``kind`` is a number or money; 0 is an integer.
        fields: The fields of a nested object, when ``kind`` is an object.
    """

    name: str
    kind: Kind
    is_expected: bool = False
    codes: tuple[str, ...] = ()
    decimals: int | None = None
    fields: tuple["Field", ...] = ()


class EventType(NamedTuple):
    """One of the contract's event types.

    Attributes:
        name: The type, normalised.
        sent_by: The source system that sends it.
        fields: What its ``data`` holds.
    """

    name: str
    sent_by: str
    fields: tuple[Field, ...]


SOURCE_SYSTEMS: Final = ("order_management", "insurance", "warehouse_scanner", "shipping")
"""The systems that send events. Another name is kept as it is."""

_PATIENT_FIELDS: Final = (
    Field("patient_id", Kind.TEXT, is_expected=True),
    Field("first_name", Kind.TEXT),
    Field("last_name", Kind.TEXT),
    Field("date_of_birth", Kind.BIRTH_DATE),
    Field("gender", Kind.LISTED_CODE, codes=("female", "male", "other", "unknown")),
    Field("phone", Kind.TEXT),
    Field("email", Kind.TEXT),
    Field("address", Kind.TEXT),
    Field("city", Kind.TEXT),
    Field("state", Kind.UPPER_CASE_CODE, is_expected=True),
    Field("zip", Kind.ZIP, is_expected=True),
)

EVENT_TYPES: Final[Mapping[str, EventType]] = MappingProxyType(
    {
        event_type.name: event_type
        for event_type in (
            EventType(
                "order_placed",
                sent_by="order_management",
                fields=(
                    Field("patient", Kind.OBJECT, is_expected=True, fields=_PATIENT_FIELDS),
                    Field("ndc", Kind.NDC, is_expected=True),
                    Field("quantity", Kind.NUMBER, is_expected=True, decimals=3),
                    Field("days_supply", Kind.NUMBER, decimals=0),
                    Field("prescriber_npi", Kind.TEXT),
                    Field("pharmacy_id", Kind.IDENTIFIER, is_expected=True),
                    Field("payer_id", Kind.IDENTIFIER, is_expected=True),
                    Field(
                        "priority",
                        Kind.LISTED_CODE,
                        is_expected=True,
                        codes=("standard", "expedited", "stat"),
                    ),
                    Field(
                        "channel",
                        Kind.LISTED_CODE,
                        codes=("erx", "fax", "phone", "portal", "refill"),
                    ),
                ),
            ),
            EventType(
                "insurance_validation",
                sent_by="insurance",
                fields=(
                    Field(
                        "status",
                        Kind.LISTED_CODE,
                        is_expected=True,
                        codes=("approved", "rejected", "pending"),
                    ),
                    Field("reject_code", Kind.UPPER_CASE_CODE),
                    Field("payer_id", Kind.IDENTIFIER),
                    Field("copay_amount", Kind.MONEY, decimals=2),
                    Field("plan_paid_amount", Kind.MONEY, decimals=2),
                ),
            ),
            EventType(
                "prior_authorization",
                sent_by="insurance",
                fields=(
                    Field(
                        "status",
                        Kind.LISTED_CODE,
                        is_expected=True,
                        codes=("submitted", "approved", "denied"),
                    ),
                    Field("reference", Kind.TEXT),
                ),
            ),
            EventType(
                "order_dispensed",
                sent_by="warehouse_scanner",
                fields=(
                    Field("pharmacy_id", Kind.IDENTIFIER),
                    Field("lot_number", Kind.TEXT),
                    Field("verified_by_role", Kind.TEXT),
                ),
            ),
            EventType(
                "order_shipped",
                sent_by="shipping",
                fields=(
                    Field("carrier_id", Kind.IDENTIFIER, is_expected=True),
                    Field("tracking_number", Kind.TEXT),
                    Field(
                        "service_level",
                        Kind.LISTED_CODE,
                        codes=("ground", "two_day", "overnight", "same_day"),
                    ),
                    Field("cold_chain", Kind.BOOLEAN),
                    Field("promised_delivery_at", Kind.TIMESTAMP, is_expected=True),
                ),
            ),
            EventType(
                "shipment_scanned",
                sent_by="shipping",
                fields=(
                    # AfterShip's nine delivery statuses
                    Field(
                        "status",
                        Kind.LISTED_CODE,
                        is_expected=True,
                        codes=(
                            "pending",
                            "info_received",
                            "in_transit",
                            "out_for_delivery",
                            "attempt_fail",
                            "available_for_pickup",
                            "delivered",
                            "exception",
                            "expired",
                        ),
                    ),
                    Field("exception_code", Kind.TEXT),
                    Field("location", Kind.TEXT),
                    Field("temperature_c", Kind.NUMBER, decimals=3),
                ),
            ),
            EventType(
                "order_delivered",
                sent_by="shipping",
                fields=(
                    Field("delivered_at", Kind.TIMESTAMP),
                    Field("signed_by_role", Kind.TEXT),
                    Field("minutes_out_of_range", Kind.NUMBER, decimals=3),
                ),
            ),
            EventType(
                "order_cancelled",
                sent_by="order_management",
                fields=(Field("reason", Kind.TEXT),),
            ),
        )
    }
)
"""The eight event types by name, in the order of an order's life."""


# ---------------------------------------------------------------------------------------------
# What goes in and what comes out
# ---------------------------------------------------------------------------------------------


class Message(NamedTuple):
    """One message as received.

    Attributes:
        message_id: The id that Pub/Sub, or the file reader, gave it.
        data: Its bytes.
        attributes: Its attributes.
        publish_time: When it was published, aware, in UTC.
    """

    message_id: str
    data: bytes
    attributes: Mapping[str, str]
    publish_time: datetime


class RawOrder(NamedTuple):
    """One row of bronze ``raw_orders``, in the table's order, but for ``ingested_at``.

    Attributes:
        message_id: The message's id.
        event_id: The business event's id, exactly as received.
        event_type: One of :data:`EVENT_TYPES`, normalised.
        order_id: The order's id, exactly as received.
        event_timestamp: When it happened, in UTC; digits past the microsecond are cut.
        patient_key: The patient's pseudonym, or None where the event names no patient.
        patient_key_version: The version of the key behind ``patient_key``; None without one.
        schema_version: 1 when the envelope names none.
        source_system: As received; a value that is no string, as its JSON text.
        attributes: The message's attributes.
        payload: The message's text, byte for byte as received.
        publish_time: When the message was published, in UTC.
    """

    message_id: str
    event_id: str
    event_type: str
    order_id: str
    event_timestamp: datetime
    patient_key: str | None
    patient_key_version: int | None
    schema_version: int
    source_system: str | None
    attributes: Mapping[str, str]
    payload: str
    publish_time: datetime


class DeadLetter(NamedTuple):
    """One message that bronze does not take, with the first reason that applies.

    Attributes:
        message_id: The message's id.
        payload_base64: Its bytes as received, in base64.
        attributes: Its attributes.
        error_type: The reason, an ``ErrorType`` for every message that the contract refuses.
        error_message: A sentence that names the field and what is expected of it. It never holds a
            value of the payload, so that it can be logged and shown.
        publish_time: When the message was published, in UTC.
    """

    message_id: str
    payload_base64: str
    attributes: Mapping[str, str]
    error_type: str
    error_message: str
    publish_time: datetime


# ---------------------------------------------------------------------------------------------
# Pseudonyms
# ---------------------------------------------------------------------------------------------

_MIN_KEY_BYTES: Final = 32


class Pseudonymiser:
    """Turns patient ids into pseudonyms under one secret key.

    It can be neither pickled nor copied, so that the key cannot travel in a Beam graph: a worker
    builds its own. Its ``repr`` shows the version only.

    Args:
        key: The key's text; its UTF-8 bytes are the key, 32 of them at least.
        version: The key's version, landed beside every pseudonym.

    Raises:
        ConfigurationError: The key is too short, or its text is not Unicode.
    """

    __slots__ = ("_hmac", "version")

    def __init__(self, key: str, version: int) -> None:
        try:
            key_bytes = key.encode()
        except UnicodeEncodeError:
            key_bytes = b""  # what is not text is no key; the cause would show the key
        if len(key_bytes) < _MIN_KEY_BYTES:
            raise ConfigurationError(
                f"PBM_PSEUDONYM_KEY must be UTF-8 text of at least {_MIN_KEY_BYTES} bytes.",
                "Set PBM_PSEUDONYM_KEY to a random secret, such as the output of "
                "`openssl rand -hex 32`.",
            )
        # Copying a prepared HMAC saves hashing the key again for every patient
        self._hmac = hmac.new(key_bytes, digestmod="sha256")
        self.version = version

    def key_for(self, patient_id_text: str) -> str:
        """Return the pseudonym of a patient id.

        Args:
            patient_id_text: The id's text; it is trimmed and upper-cased here.

        Returns:
            HMAC-SHA256 in lower-case hex, 64 characters.
        """
        pseudonym = self._hmac.copy()
        pseudonym.update(patient_id_text.strip(WHITE_SPACE).upper().encode())
        return pseudonym.hexdigest()

    def __repr__(self) -> str:
        return f"Pseudonymiser(version={self.version!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A Pseudonymiser cannot be pickled, because it holds the key: build it where it is "
            "used, as in DoFn.setup."
        )


# ---------------------------------------------------------------------------------------------
# The check
# ---------------------------------------------------------------------------------------------


def check_message(message: Message, pseudonymiser: Pseudonymiser) -> RawOrder | DeadLetter:
    """Decide whether bronze takes a message.

    Args:
        message: The message as received. Its data may be any bytes.
        pseudonymiser: Gives the patient's pseudonym.

    Returns:
        The row to land, or the dead letter with the first reason that applies.
    """
    try:
        return _accept(message, pseudonymiser)
    except _RefusalError as refusal:
        return DeadLetter(
            message.message_id,
            base64.b64encode(message.data).decode("ascii"),
            message.attributes,
            refusal.error_type,
            refusal.error_message,
            message.publish_time,
        )


class _RefusalError(Exception):
    """The message is a dead letter; raised and caught in this module only."""

    def __init__(self, error_type: ErrorType, error_message: str) -> None:
        super().__init__(error_type, error_message)
        self.error_type = error_type
        self.error_message = error_message


def _accept(message: Message, pseudonymiser: Pseudonymiser) -> RawOrder:
    payload, envelope = _read_envelope(message.data)
    _check_required(envelope)
    event_id, order_id = _checked_ids(envelope)
    schema_version = _schema_version(envelope.get("schema_version"))
    data = envelope.get("data")
    if data is not None and not isinstance(data, dict):
        raise _RefusalError(ErrorType.INVALID_FIELD, "data must be an object when it is present.")
    event_type = _event_type(envelope["event_type"])
    event_timestamp = _event_timestamp(envelope["event_timestamp"], message.publish_time)
    source_system = envelope.get("source_system")
    if source_system is not None and not isinstance(source_system, str):
        source_system = _member_text(payload, "source_system")
    patient_id = None if data is None else _patient_id(data)
    return RawOrder(
        message.message_id,
        event_id,
        event_type,
        order_id,
        event_timestamp,
        None if patient_id is None else pseudonymiser.key_for(patient_id),
        None if patient_id is None else pseudonymiser.version,
        schema_version,
        source_system,
        message.attributes,
        payload,
        message.publish_time,
    )


def live_labels(event_type: str, payload: str) -> tuple[str | None, str | None]:
    """Return the delivery state and the status by which the speed layer counts an event.

    Args:
        event_type: The event's type, normalised.
        payload: The payload of an accepted message.

    Returns:
        ``state``, of a placement's patient, and ``status``, the event's own; each trimmed and in
        silver's letter case, None where the event carries none that can be read.
    """
    if event_type not in _WITH_PATIENT and event_type not in _WITH_STATUS:
        return None, None
    data = _read_envelope(payload.encode())[1].get("data")
    if not isinstance(data, dict):
        return None, None
    state = status = None
    if event_type in _WITH_STATUS:
        status = _code_text(data.get("status"))
        status = status and status.lower().replace(" ", "_").replace("-", "_")
    patient = data.get("patient") if event_type in _WITH_PATIENT else None
    if isinstance(patient, dict):
        state = _code_text(patient.get("state"))
        state = state and state.upper()
    return state, status


def patient_id_of(payload: str) -> str | None:
    """Return the text of the patient id that an accepted payload names, if it names one.

    Args:
        payload: The payload of an accepted message.
    """
    data = _read_envelope(payload.encode())[1].get("data")
    return _patient_id(data) if isinstance(data, dict) else None


_WITH_PATIENT: Final = frozenset(
    name for name, kind in EVENT_TYPES.items() if any(f.name == "patient" for f in kind.fields)
)
_WITH_STATUS: Final = frozenset(
    name for name, kind in EVENT_TYPES.items() if any(f.name == "status" for f in kind.fields)
)


def _code_text(value: object) -> str | None:
    """A code's text, trimmed; a number or boolean counts as its JSON text."""
    match value:
        case bytes():
            return value.decode()
        case bool():
            return "true" if value else "false"
        case str():
            return value.strip(WHITE_SPACE) or None
        case _:
            return None


# -- JSON ---------------------------------------------------------------------------------------


def _refuse_constant(_name: str) -> NoReturn:
    raise _RefusalError(
        ErrorType.NOT_JSON,
        "The payload is not one JSON value (RFC 8259): NaN and Infinity are no JSON numbers.",
    )


# A number stays as it is written, as bytes, which no other JSON value is read as: `1.50` keeps its
# text, and neither 5,000 digits nor 1e400000 are ever computed.
_DECODER: Final = json.JSONDecoder(
    parse_int=str.encode, parse_float=str.encode, parse_constant=_refuse_constant
)

# Once every escaped quote is out of the way; a string may have no end
_BRACKETS_AND_STRINGS: Final = re.compile(rb'"[^"]*"?|[\[\]{}]')
_BRACKET_STEPS: Final = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}

# Once every escaped backslash is out of the way: U+0000, a high surrogate without a low one after
# it, or a low one without a high one before it. All start with `\u`, which is quick to look for.
_UNSUPPORTED_ESCAPE: Final = re.compile(
    r"\\u(?:0000"
    r"|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F])"
)


def _read_envelope(data: bytes) -> tuple[str, dict[str, Any]]:
    """Return the payload's text and its JSON object, numbers in it as bytes."""
    try:
        payload = data.decode()
    except UnicodeDecodeError as error:
        raise _RefusalError(
            ErrorType.NOT_UTF8, f"The payload is not UTF-8: byte {error.start} fits no character."
        ) from None
    # Before the parser, which calls itself once per bracket
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _is_too_deep(data):
        raise _RefusalError(
            ErrorType.NOT_JSON, f"The payload must not nest deeper than {MAX_DEPTH} levels."
        )
    text = payload.strip(WHITE_SPACE)
    try:
        envelope, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise _not_json_at(error.pos, payload) from None
    if end != len(text):
        raise _not_json_at(end, payload)
    if not isinstance(envelope, dict):
        raise _RefusalError(ErrorType.NOT_AN_OBJECT, "The payload must be a JSON object.")
    # Raw, both are refused above: a surrogate is not UTF-8, a control character is not JSON
    if b"\\u" in data and _UNSUPPORTED_ESCAPE.search(payload.replace(r"\\", "  ")):
        raise _RefusalError(
            ErrorType.UNSUPPORTED_TEXT,
            "No name or string of the payload may hold U+0000 or an unpaired surrogate.",
        )
    return payload, envelope


def _not_json_at(position: int, payload: str) -> _RefusalError:
    position += len(payload) - len(payload.lstrip(WHITE_SPACE))
    return _RefusalError(
        ErrorType.NOT_JSON,
        f"The payload is not one JSON value (RFC 8259): see character {position}, from 0.",
    )


def _is_too_deep(data: bytes) -> bool:
    """Whether more than ``MAX_DEPTH`` brackets are open at once, strings left out.

    Exact up to the first error in the JSON, so the parser never goes deeper than this allows.
    """
    depth = 0
    for found in _BRACKETS_AND_STRINGS.finditer(data.replace(rb"\\", b"").replace(rb"\"", b"")):
        depth += _BRACKET_STEPS.get(found[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False


def _member_text(payload: str, name: str) -> str:
    """Return the JSON text, as received, of the last member of that name.

    Args:
        payload: A valid JSON object that has the member.
        name: The member's name.
    """
    text = ""
    position = payload.index("{")
    while payload[position] != "}":  # at the opening brace or a comma
        found, position = _DECODER.raw_decode(payload, _skip_white_space(payload, position + 1))
        start = _skip_white_space(payload, payload.index(":", position) + 1)
        _, position = _DECODER.raw_decode(payload, start)
        if found == name:
            text = payload[start:position]
        position = _skip_white_space(payload, position)
    return text


def _skip_white_space(text: str, position: int) -> int:
    while text[position] in WHITE_SPACE:
        position += 1
    return position


# -- the envelope's fields ----------------------------------------------------------------------


def _check_required(envelope: Mapping[str, Any]) -> None:
    for name in REQUIRED_FIELDS:
        value = envelope.get(name)
        if value is None or (isinstance(value, str) and not value.strip(WHITE_SPACE)):
            raise _RefusalError(
                ErrorType.MISSING_FIELD,
                f"{name} is missing: a string of more than white space is expected.",
            )
    for name in REQUIRED_FIELDS:
        if not isinstance(envelope[name], str):
            raise _RefusalError(ErrorType.INVALID_FIELD, f"{name} must be a string.")


def _checked_ids(envelope: Mapping[str, str]) -> tuple[str, str]:
    event_id, order_id = envelope["event_id"], envelope["order_id"]
    if len(event_id) > MAX_ID_LENGTH or len(order_id) > MAX_ID_LENGTH:
        name = "event_id" if len(event_id) > MAX_ID_LENGTH else "order_id"
        raise _RefusalError(
            ErrorType.INVALID_FIELD, f"{name} must be of 1 to {MAX_ID_LENGTH} code points."
        )
    return event_id, order_id


def _schema_version(value: object) -> int:
    if value is None:
        return 1
    # Of JSON's numbers only an unsigned integer is all digits. Ten of them hold every version
    if isinstance(value, bytes) and len(value) <= 10 and value.isdigit():
        version = int(value)
        if 1 <= version <= MAX_SCHEMA_VERSION:
            return version
    raise _RefusalError(
        ErrorType.INVALID_FIELD,
        f"schema_version must be a JSON integer from 1 to {MAX_SCHEMA_VERSION}.",
    )


def _event_type(text: str) -> str:
    event_type = text.strip(WHITE_SPACE).lower().replace(" ", "_").replace("-", "_")
    if event_type not in EVENT_TYPES:
        raise _RefusalError(
            ErrorType.UNKNOWN_EVENT_TYPE, f"event_type must be one of {', '.join(EVENT_TYPES)}."
        )
    return event_type


_TIMESTAMP: Final = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"[Tt](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?"
    r"(?:[Zz]|[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00))",
    re.ASCII,
)


def _event_timestamp(text: str, publish_time: datetime) -> datetime:
    if not _TIMESTAMP.fullmatch(text):
        raise _RefusalError(
            ErrorType.INVALID_TIMESTAMP,
            "event_timestamp must be RFC 3339 with seconds and an offset of at most 14:00.",
        )
    try:
        # `fromisoformat` cuts the digits past the sixth itself
        timestamp = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # not in the calendar, or past its ends in UTC
        raise _RefusalError(
            ErrorType.INVALID_TIMESTAMP, "event_timestamp must be a date of the calendar."
        ) from None
    # A difference, since a day after the publish time may be past the calendar's end
    if timestamp < EARLIEST_EVENT or timestamp - publish_time > LATEST_AFTER_PUBLISH:
        raise _RefusalError(
            ErrorType.INVALID_TIMESTAMP,
            "event_timestamp must lie from 2000-01-01T00:00:00Z to one day after the publish time.",
        )
    return timestamp


def _patient_id(data: Mapping[str, Any]) -> str | None:
    """Return the text of the patient's id, or None where there is none."""
    patient = data.get("patient")
    return _code_text(patient.get("patient_id")) if isinstance(patient, dict) else None
