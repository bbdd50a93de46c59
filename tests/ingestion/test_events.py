"""What ingestion accepts, row by row of the contract's table, and what it never does."""

import base64
import calendar
import copy
import hashlib
import hmac
import json
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingestion.events import (
    EVENT_TYPES,
    MAX_DEPTH,
    REQUIRED_FIELDS,
    SOURCE_SYSTEMS,
    WHITE_SPACE,
    DeadLetter,
    ErrorType,
    Field,
    Kind,
    Message,
    Pseudonymiser,
    RawOrder,
    check_message,
)
from pbm.errors import ConfigurationError

KEY = "0123456789abcdef0123456789abcdef"
KEY_VERSION = 7
PSEUDONYMISER = Pseudonymiser(KEY, KEY_VERSION)
PUBLISHED = datetime(2026, 3, 1, 14, 3, 25, 250_000, tzinfo=UTC)
ATTRIBUTES = {"event_type": "order_placed"}

ENVELOPE: dict[str, Any] = {
    "event_id": "e-1",
    "event_type": "order_placed",
    "event_timestamp": "2026-03-01T14:03:22Z",
    "order_id": "o-1",
}


def envelope(**changes: object) -> dict[str, Any]:
    return ENVELOPE | changes


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ENVELOPE.items() if key != name}


def with_member(member: str) -> str:
    """The envelope's text, with one more member as it is written here, after the others."""
    return f"{json.dumps(ENVELOPE)[:-1]}, {member}}}"


def check(
    payload: bytes | str | dict[str, Any], published: datetime = PUBLISHED
) -> RawOrder | DeadLetter:
    if isinstance(payload, dict):
        payload = json.dumps(payload, ensure_ascii=False)
    data = payload.encode() if isinstance(payload, str) else payload
    return check_message(Message("m-1", data, ATTRIBUTES, published), PSEUDONYMISER)


def accepted(payload: bytes | str | dict[str, Any], published: datetime = PUBLISHED) -> RawOrder:
    result = check(payload, published)
    assert isinstance(result, RawOrder), result
    return result


def refused(payload: bytes | str | dict[str, Any], published: datetime = PUBLISHED) -> DeadLetter:
    result = check(payload, published)
    assert isinstance(result, DeadLetter), result
    return result


def reason(payload: bytes | str | dict[str, Any], published: datetime = PUBLISHED) -> str | None:
    result = check(payload, published)
    return result.error_type if isinstance(result, DeadLetter) else None


def pseudonym(text: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


# -- the contract as data -----------------------------------------------------------------------


def test_there_are_eight_event_types_each_sent_by_one_source_system() -> None:
    assert {event_type.name: event_type.sent_by for event_type in EVENT_TYPES.values()} == {
        "order_placed": "order_management",
        "insurance_validation": "insurance",
        "prior_authorization": "insurance",
        "order_dispensed": "warehouse_scanner",
        "order_shipped": "shipping",
        "shipment_scanned": "shipping",
        "order_delivered": "shipping",
        "order_cancelled": "order_management",
    }
    assert all(name == event_type.name for name, event_type in EVENT_TYPES.items())
    assert {event_type.sent_by for event_type in EVENT_TYPES.values()} == set(SOURCE_SYSTEMS)


def test_the_reasons_come_in_the_order_of_the_table() -> None:
    assert [error_type.value for error_type in ErrorType] == [
        "not_utf8",
        "not_json",
        "not_an_object",
        "unsupported_text",
        "missing_field",
        "invalid_field",
        "unknown_event_type",
        "invalid_timestamp",
    ]


def all_fields() -> dict[str, Field]:
    fields = {}
    for event_type in EVENT_TYPES.values():
        for field in event_type.fields:
            fields[f"{event_type.name}.{field.name}"] = field
            for nested in field.fields:
                fields[f"{event_type.name}.{field.name}.{nested.name}"] = nested
    return fields


def test_each_type_has_its_fields() -> None:
    names = {name: [f.name for f in event.fields] for name, event in EVENT_TYPES.items()}
    assert {name: " ".join(fields) for name, fields in names.items()} == {
        "order_placed": "patient ndc quantity days_supply prescriber_npi pharmacy_id payer_id "
        "priority channel",
        "insurance_validation": "status reject_code payer_id copay_amount plan_paid_amount",
        "prior_authorization": "status reference",
        "order_dispensed": "pharmacy_id lot_number verified_by_role",
        "order_shipped": "carrier_id tracking_number service_level cold_chain promised_delivery_at",
        "shipment_scanned": "status exception_code location temperature_c",
        "order_delivered": "delivered_at signed_by_role minutes_out_of_range",
        "order_cancelled": "reason",
    }
    patient = all_fields()["order_placed.patient"]
    assert " ".join(field.name for field in patient.fields) == (
        "patient_id first_name last_name date_of_birth gender phone email address city state zip"
    )


def test_the_starred_fields_are_the_expected_ones() -> None:
    assert {path for path, field in all_fields().items() if field.is_expected} == {
        "order_placed.patient",
        "order_placed.patient.patient_id",
        "order_placed.patient.state",
        "order_placed.patient.zip",
        "order_placed.ndc",
        "order_placed.quantity",
        "order_placed.pharmacy_id",
        "order_placed.payer_id",
        "order_placed.priority",
        "insurance_validation.status",
        "prior_authorization.status",
        "order_shipped.carrier_id",
        "order_shipped.promised_delivery_at",
        "shipment_scanned.status",
    }


def test_every_kind_has_its_fields() -> None:
    kinds: dict[str, set[str]] = {}
    for path, field in all_fields().items():
        kinds.setdefault(field.kind.value, set()).add(path.rpartition(".")[2])
    del kinds["text"]  # the rest
    assert kinds == {
        "object": {"patient"},
        "listed_code": {"status", "priority", "channel", "service_level", "gender"},
        "identifier": {"payer_id", "pharmacy_id", "carrier_id"},
        "upper_case_code": {"state", "reject_code"},
        "number": {"quantity", "days_supply", "minutes_out_of_range", "temperature_c"},
        "money": {"copay_amount", "plan_paid_amount"},
        "boolean": {"cold_chain"},
        "timestamp": {"promised_delivery_at", "delivered_at"},
        "ndc": {"ndc"},
        "zip": {"zip"},
        "birth_date": {"date_of_birth"},
    }


def test_codes_decimals_and_nested_fields_stand_where_their_kind_needs_them() -> None:
    for field in all_fields().values():
        assert bool(field.codes) == (field.kind is Kind.LISTED_CODE)
        assert (field.decimals is not None) == (field.kind in {Kind.NUMBER, Kind.MONEY})
        assert bool(field.fields) == (field.kind is Kind.OBJECT)
        assert len(set(field.codes)) == len(field.codes)
        assert all(code == code.strip().lower().replace(" ", "_") for code in field.codes)
    assert len(all_fields()["shipment_scanned.status"].codes) == 9


# -- an accepted message ------------------------------------------------------------------------


def test_an_accepted_message_is_one_row_with_the_columns_of_bronze_in_order() -> None:
    payload = (
        ' {"event_id": " e-1 ", "event_type": "Order Placed", "order_id": "o/1\\n",'
        ' "event_timestamp": "2026-03-01T09:03:22.1234567-05:00", "schema_version": 3,'
        ' "source_system": "order_management", "data": {"patient": {"patient_id": " pt-9 "}}}\n'
    )
    row = accepted(payload)
    assert row._asdict() == {
        "message_id": "m-1",
        "event_id": " e-1 ",
        "event_type": "order_placed",
        "order_id": "o/1\n",
        "event_timestamp": datetime(2026, 3, 1, 14, 3, 22, 123_456, tzinfo=UTC),
        "patient_key": pseudonym("PT-9"),
        "patient_key_version": KEY_VERSION,
        "schema_version": 3,
        "source_system": "order_management",
        "attributes": ATTRIBUTES,
        "payload": payload,
        "publish_time": PUBLISHED,
    }
    assert ",".join(RawOrder._fields) == (
        "message_id,event_id,event_type,order_id,event_timestamp,patient_key,patient_key_version,"
        "schema_version,source_system,attributes,payload,publish_time"
    )
    assert row.event_timestamp.tzinfo is UTC


def test_the_least_envelope_is_accepted() -> None:
    row = accepted(ENVELOPE)
    assert (row.schema_version, row.source_system) == (1, None)
    assert (row.patient_key, row.patient_key_version) == (None, None)


def test_attributes_never_replace_the_payload() -> None:
    attributes = {"event_id": "other", "event_type": "order_shipped", "order_id": "other"}
    message = Message("m-1", json.dumps(ENVELOPE).encode(), attributes, PUBLISHED)
    row = check_message(message, PSEUDONYMISER)
    assert isinstance(row, RawOrder)
    assert (row.event_id, row.event_type, row.order_id) == ("e-1", "order_placed", "o-1")
    assert row.attributes == attributes


def test_a_dead_letter_keeps_the_message_as_received() -> None:
    data = b' {"event_id": \xff'
    letter = refused(data)
    assert letter._asdict() == {
        "message_id": "m-1",
        "payload_base64": base64.b64encode(data).decode(),
        "attributes": ATTRIBUTES,
        "error_type": ErrorType.NOT_UTF8,
        "error_message": "The payload is not UTF-8: byte 14 fits no character.",
        "publish_time": PUBLISHED,
    }
    assert ",".join(DeadLetter._fields) == (
        "message_id,payload_base64,attributes,error_type,error_message,publish_time"
    )


# -- not_utf8 -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b'{"event_id": "\xe9"}',
        b"\xc0\xaf",  # overlong
        b'"\xed\xa0\x80"',  # a surrogate encoded as if it were a character
        b"\xf4\x90\x80\x80",  # past U+10FFFF
        b'{"a": 1}\xe2\x82',  # cut short
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_bytes_that_are_not_utf8(data: bytes) -> None:
    assert reason(data) == "not_utf8"


# -- not_json -----------------------------------------------------------------------------------

NOT_JSON = [
    "",
    " \t\r\n",
    "\ufeff{}",
    "{} {}",
    "{}x",
    "{}\x00",
    "{",
    "}",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    '{"a" 1}',
    '{"a": 1,}',
    "{,}",
    "{a: 1}",
    "{'a': 1}",
    "{1: 1}",
    '{"a": }',
    "[NaN]",
    "[Infinity]",
    "[-Infinity]",
    "[nan]",
    "[+1]",
    "[01]",
    "[-01]",
    "[.5]",
    "[5.]",
    "[1.e1]",
    "[1e]",
    "[1e+]",
    "[-]",
    "[0x1]",
    "[1_000]",
    "[\u0661]",  # a digit, and not ASCII
    "[1.\u0661]",
    "[True]",
    "[tru]",
    "[None]",
    '["a\nb"]',
    '["a\tb"]',
    '["\x00"]',
    '["\x1f"]',
    '["a',
    '["\\"]',
    '["\\x41"]',
    '["\\\'"]',
    '["\\u12"]',
    '["\\u12g4"]',
    '["\\u+123"]',
    '["\\u 123"]',
    '["\\u\uff11234"]',
    '["\\U0041"]',
    "\u00a0{}",
    "\u2028{}",
    "\u3000{}",
    "\x0b{}",
    "\x0c{}",
    "{}\x1c",
    "{}\x85",
    '{"a":\u00a01}',
    "// a comment\n{}",
    "/**/{}",
]


@pytest.mark.parametrize("payload", NOT_JSON)
def test_text_that_rfc_8259_does_not_allow(payload: str) -> None:
    assert reason(payload) == "not_json"


JSON_VALUES = [
    '""',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u00E9"',
    '"\x7f\u0080\u2028\u2029\ufeff\U0001f600"',
    "0",
    "-0",
    "-0.0",
    "1E+2",
    "1e-0005",
    "0.10",
    "1e400000",
    "-1e-400000",
    "9" * 20_000,
    "0." + "1" * 20_000,
    "true",
    "false",
    "null",
    "[]",
    "{}",
    '[ ]\t\r\n,"": { }',
    '{"": 1, "": 2}',
]


@pytest.mark.parametrize("value", JSON_VALUES)
def test_json_in_fields_that_nobody_reads_does_no_harm(value: str) -> None:
    payload = with_member(f'"note" : {value} ').replace("{", "{ \r\n\t", 1)
    assert accepted(payload).payload == payload


def is_json(text: str) -> bool:
    """RFC 8259's grammar, as a second pair of eyes: one character at a time."""
    try:
        return skip(text, value_end(text, skip(text, 0))) == len(text)
    except (IndexError, AssertionError):
        return False


def skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in "\x20\x09\x0a\x0d":
        at += 1
    return at


def value_end(text: str, at: int) -> int:
    for word in ("true", "false", "null"):
        if text.startswith(word, at):
            return at + len(word)
    if text[at] == '"':
        return string_end(text, at)
    if text[at] in "[{":
        return container_end(text, at)
    return number_end(text, at)


def string_end(text: str, at: int) -> int:
    at += 1
    while text[at] != '"':
        assert text[at] >= " "
        if text[at] == "\\":
            at += 1
            assert text[at] in '"\\/bfnrtu'
            if text[at] == "u":
                assert all(text[at + i] in "0123456789abcdefABCDEF" for i in range(1, 5))
                at += 4
        at += 1
    return at + 1


def container_end(text: str, at: int) -> int:
    close = {"[": "]", "{": "}"}[text[at]]
    at = skip(text, at + 1)
    if text[at] == close:
        return at + 1
    while True:
        if close == "}":
            assert text[at] == '"'
            at = skip(text, string_end(text, at))
            assert text[at] == ":"
            at = skip(text, at + 1)
        at = skip(text, value_end(text, at))
        if text[at] == close:
            return at + 1
        assert text[at] == ","
        at = skip(text, at + 1)


def digits_end(text: str, at: int) -> int:
    assert text[at] in "0123456789"
    while at < len(text) and text[at] in "0123456789":
        at += 1
    return at


def number_end(text: str, at: int) -> int:
    at += text[at] == "-"
    at = at + 1 if text[at] == "0" else digits_end(text, at)
    if text[at : at + 1] == ".":
        at = digits_end(text, at + 1)
    if text[at : at + 1] in {"e", "E"}:
        at += 1
        at = digits_end(text, at + (text[at] in "+-"))
    return at


characters = st.characters(codec="utf-8", exclude_characters="\0")
short_texts = st.text(characters, max_size=4)
json_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | json_numbers | short_texts,
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(short_texts, children, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[str], alphabet: str) -> str:
    """A text with up to three characters put in, taken out or exchanged."""
    text = draw(texts)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(["", *alphabet])) + text[at + draw(st.booleans()) :]
    return text


@given(
    mutated(
        st.builds(json.dumps, json_values, ensure_ascii=st.booleans()),
        '{}[],:"\\/ \t\n\x00\x0b\ufeff\u00a0+-.eE019ubNaInty',
    )
)
@example('"\\ud800"')
def test_json_is_told_from_other_text_as_the_grammar_says(text: str) -> None:
    assert (reason(text) == "not_json") == (not is_json(text))


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    """The envelope with a value in it, brackets open as many levels deep as given in all."""
    inner = opening * (levels - 1) + ("1" if opening != "[" else "") + closing * (levels - 1)
    return with_member(f'"note": {inner}')


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"b":', "}]")])
def test_brackets_may_nest_128_levels_and_no_deeper(opening: str, closing: str) -> None:
    brackets = opening.count("[") + opening.count("{")
    levels = (MAX_DEPTH - 1) // brackets + 1
    assert reason(nested(levels, opening, closing)) is None
    assert reason(nested(levels + 1, opening, closing)) == "not_json"


def test_128_levels_without_an_envelope_are_json_and_129_are_not() -> None:
    assert reason("[" * 128 + "]" * 128) == "not_an_object"
    assert reason("[" * 129 + "]" * 129) == "not_json"


def test_depth_counts_within_a_value_that_a_later_field_replaces() -> None:
    deep = "[" * 128 + "]" * 128
    assert reason(with_member(f'"note": {deep}, "note": 1')) == "not_json"


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert reason(envelope(note=[[[]] for _ in range(500)])) is None
    assert reason(envelope(note=[{} for _ in range(500)])) is None


@pytest.mark.parametrize("quote", ["", '"', "\\", '\\"', "\\\\", '\\\\"', '"\\'])
def test_brackets_in_strings_do_not_count(quote: str) -> None:
    assert reason(envelope(note=quote + "[" * 500)) is None
    assert reason(envelope(note=[quote, quote + "[" * 500, quote])) is None
    assert reason(envelope(**{quote + "{" * 500: quote})) is None


@pytest.mark.parametrize("quote", ["", '"', "\\", '\\"', "\\\\", '\\\\"', '"\\'])
def test_brackets_around_strings_do_count(quote: str) -> None:
    deep: object = quote + "]" * 500
    for _ in range(127):
        deep = [deep]
    assert reason(envelope(note=deep)) is None
    assert reason(envelope(note=[deep])) == "not_json"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "payload",
    [
        "[" * 1_000_000,
        "[" * 1_000_000 + "]" * 1_000_000,
        '{"a":' * 1_000_000,
        '"\\"' * 1_000_000 + "[" * 1_000,
        "[" * 1_000 + '"\\' * 1_000_000,
    ],
)
def test_a_million_levels_are_refused_without_harm(payload: str) -> None:
    assert reason(payload) == "not_json"


@pytest.mark.timeout(20)
def test_a_very_wide_or_long_message_is_accepted() -> None:
    wide = "[" + "[]," * 300_000 + "[]]"
    assert reason(with_member(f'"note": {wide}, "digits": {"9" * 1_000_000}')) is None


# -- not_an_object ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload", ["[]", "[{}]", '"text"', "1", "1.5", "9" * 5_000, "1e400000", "true", "null", " 0 "]
)
def test_json_that_is_no_object(payload: str) -> None:
    assert reason(payload) == "not_an_object"


# -- unsupported_text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        r"\u0000",
        r"a\u0000b",
        r"\ud800",
        r"\uDBFF",
        r"\udc00",
        r"\uDfFf",
        r"\ud83d \ude00",
        r"\ude00\ud83d",
        r"\ud83d\ud83d\ude00",
        r"\ud83d\ude00\ude00",
        r"\ud83d\\ude00",
        r"\ud83d\u0041",
        r"\\\u0000",
        r"\\\ud83d",
        r"\\ud83d\ude00",
        r"\"\u0000",
    ],
)
@pytest.mark.parametrize(
    "member",
    [
        '"note": "{}"',
        '"{}": 1',
        '"note": [{{"a": ["{}"]}}]',
        '"note": {{"a{}": null}}',
        '"note": "{}", "note": 1',
        '"note": {{"{}": 1}}, "note": {{}}',
    ],
)
def test_text_that_no_warehouse_can_hold(text: str, member: str) -> None:
    assert reason(with_member(member.format(text))) == "unsupported_text"


@pytest.mark.parametrize(
    "text",
    [
        r"\ud83d\ude00",
        r"\uD83D\uDE00\uD83D\uDE00",
        r"\\u0000",
        r"\\ud83d",
        r"\\\\u0000",
        r"\\\\ude00",
        r"\u0001",
        r"\u0020",
        r"\ud7ff",
        r"\ue000",
        r"\uffff",
        "\U0001f600",
    ],
)
def test_escapes_that_are_text(text: str) -> None:
    assert reason(with_member(f'"{text}": ["{text}"]')) is None


@given(
    st.lists(
        st.sampled_from(
            [r"\u0000", r"\ud83d", r"\uDBff", r"\ude00", r"\uDC00", r"\\", r"\"", "u0000"]
        ),
        max_size=6,
    )
)
def test_escapes_are_judged_as_the_text_they_stand_for(pieces: list[str]) -> None:
    text = "".join(pieces)
    value: str = json.loads(f'"{text}"')
    is_unsupported = "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)
    expected = "unsupported_text" if is_unsupported else None
    assert reason(with_member(f'"note": "{text}"')) == expected


# -- missing_field ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUIRED_FIELDS)
def test_a_required_field_that_is_absent_null_or_blank(name: str) -> None:
    letters = [refused(without(name))]
    letters += [refused(envelope(**{name: value})) for value in (None, "", " ", "\t\r\n ")]
    assert {letter.error_type for letter in letters} == {ErrorType.MISSING_FIELD}
    assert {letter.error_message.partition(" ")[0] for letter in letters} == {name}


@pytest.mark.parametrize("name", REQUIRED_FIELDS)
def test_the_last_of_two_fields_of_one_name_counts(name: str) -> None:
    value = json.dumps(ENVELOPE[name])
    assert reason(with_member(f'"{name}": null')) == "missing_field"
    assert reason(with_member(f'"{name}": null, "{name}": {value}')) is None
    assert reason(with_member(f'"\\u{ord(name[0]):04x}{name[1:]}": " "')) == "missing_field"


@pytest.mark.parametrize("name", ["event_id", "order_id"])
@pytest.mark.parametrize("value", ["\u00a0", "\u3000", "\u200b", "\v", "\f", "\x1c", "\x85", "."])
def test_only_jsons_four_characters_are_white_space(name: str, value: str) -> None:
    assert getattr(accepted(envelope(**{name: value})), name) == value


# -- invalid_field ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUIRED_FIELDS)
@pytest.mark.parametrize("value", [0, 1, 1.5, True, False, [], ["e-1"], {}, {"a": 1}])
def test_a_required_field_that_is_no_string(name: str, value: object) -> None:
    letter = refused(envelope(**{name: value}))
    assert letter.error_type is ErrorType.INVALID_FIELD
    assert letter.error_message == f"{name} must be a string."


@pytest.mark.parametrize("name", ["event_id", "order_id"])
@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", " "])
def test_an_id_holds_at_most_64_code_points(name: str, character: str) -> None:
    longest = character * 63 + "x"
    assert getattr(accepted(envelope(**{name: longest})), name) == longest
    letter = refused(envelope(**{name: longest + "x"}))
    assert letter.error_type is ErrorType.INVALID_FIELD
    assert letter.error_message.startswith(f"{name} ")


def test_a_surrogate_pair_is_one_code_point() -> None:
    assert reason(with_member('"event_id": "' + r"\ud83d\ude00" * 64 + '"')) is None
    assert reason(with_member('"event_id": "' + r"\ud83d\ude00" * 65 + '"')) == "invalid_field"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1", 1),
        ("2", 2),
        ("2147483647", 2_147_483_647),
        ("null", 1),
        ('"x", "schema_version": 5', 5),
    ],
)
def test_a_schema_version_is_an_integer_and_1_when_absent(text: str, version: int) -> None:
    assert accepted(with_member(f'"schema_version": {text}')).schema_version == version


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "-0",
        "-1",
        "2147483648",
        "9999999999",
        "10000000000",
        "9" * 5_000,
        "1.0",
        "1e0",
        "1E0",
        "1.5",
        "1e400000",
        "true",
        "false",
        '"1"',
        '""',
        "[]",
        "[1]",
        "{}",
    ],
)
def test_a_schema_version_out_of_its_rule(text: str) -> None:
    letter = refused(with_member(f'"schema_version": {text}'))
    assert letter.error_type is ErrorType.INVALID_FIELD
    assert letter.error_message.startswith("schema_version ")


@pytest.mark.parametrize("text", ["[]", "[{}]", '""', '" "', '"x"', "0", "1", "true", "false"])
def test_data_that_is_no_object(text: str) -> None:
    letter = refused(with_member(f'"data": {text}'))
    assert letter.error_type is ErrorType.INVALID_FIELD
    assert letter.error_message.startswith("data ")


@pytest.mark.parametrize("text", ["null", "{}", '{"patient": 1}', '[], "data": {}'])
def test_data_that_is_absent_or_an_object(text: str) -> None:
    assert accepted(with_member(f'"data": {text}')).patient_key is None


# -- unknown_event_type -------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_listed_type_is_accepted(name: str) -> None:
    assert accepted(envelope(event_type=name)).event_type == name


@given(st.data(), st.sampled_from(list(EVENT_TYPES)))
def test_case_padding_spaces_and_hyphens_make_no_other_type(data: st.DataObject, name: str) -> None:
    padding = st.text(WHITE_SPACE, max_size=3)
    written = "".join(
        data.draw(st.sampled_from("_ -" if character == "_" else character + character.upper()))
        for character in name
    )
    text = data.draw(padding) + written + data.draw(padding)
    assert accepted(envelope(event_type=text)).event_type == name


@pytest.mark.parametrize(
    "text",
    [
        "order_returned",
        "order",
        "orderplaced",
        "order__placed",
        "order  placed",
        "order - placed",
        "order\tplaced",
        "order\nplaced",
        "order.placed",
        "_order_placed",
        "order placed-",
        "\u00a0order_placed",
        "order_placed\v",
        "order\u2010placed",
        "order\u00a0placed",
        "\u043erder_placed",  # a Cyrillic o
        "order_placed,order_shipped",
        "-",
    ],
)
def test_another_text_is_an_unknown_type(text: str) -> None:
    letter = refused(envelope(event_type=text))
    assert letter.error_type is ErrorType.UNKNOWN_EVENT_TYPE
    assert letter.error_message.startswith("event_type ")


# -- invalid_timestamp --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-03-01T14:03:22Z", 0),
        ("2026-03-01t14:03:22z", 0),
        ("2026-03-01T14:03:22+00:00", 0),
        ("2026-03-01T14:03:22-00:00", 0),
        ("2026-03-01T09:03:22-05:00", 0),
        ("2026-03-01T19:48:22+05:45", 0),
        ("2026-03-02T04:03:22+14:00", 0),
        ("2026-03-01T00:03:22-14:00", 0),
        ("2026-03-02T04:02:22+13:59", 0),
        ("2026-03-01T14:03:22.5Z", 500_000),
        ("2026-03-01T14:03:22.05Z", 50_000),
        ("2026-03-01T14:03:22.123456Z", 123_456),
        ("2026-03-01T14:03:22.1234569Z", 123_456),
        ("2026-03-01T14:03:22.9999999999Z", 999_999),
        ("2026-03-01T14:03:22.0000009-00:00", 0),
        ("2026-03-01T14:03:22." + "1" * 10_000 + "Z", 111_111),
    ],
)
def test_the_ways_to_write_one_instant(text: str, microsecond: int) -> None:
    row = accepted(envelope(event_timestamp=text))
    assert row.event_timestamp == datetime(2026, 3, 1, 14, 3, 22, microsecond, tzinfo=UTC)
    assert row.event_timestamp.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T14:03:22",
        "2026-03-01",
        "2026-03-01T14:03Z",
        "2026-03-01T14Z",
        "2026-03-01 14:03:22Z",
        "2026-03-01_14:03:22Z",
        "2026-03-01T14:03:22 Z",
        " 2026-03-01T14:03:22Z",
        "2026-03-01T14:03:22Z ",
        "2026-03-01T14:03:22Z\n",
        "2026-03-01T14:03:22.Z",
        "2026-03-01T14:03:22,5Z",
        "2026-03-01T14:03:60Z",
        "2026-03-01T14:60:22Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T14:03:22+14:01",
        "2026-03-01T14:03:22-14:01",
        "2026-03-01T14:03:22+15:00",
        "2026-03-01T14:03:22+24:00",
        "2026-03-01T14:03:22+05:60",
        "2026-03-01T14:03:22+0500",
        "2026-03-01T14:03:22+05",
        "2026-03-01T14:03:22+5:00",
        "2026-03-01T14:03:22+05:00:00",
        "2026-03-01T14:03:22\u221205:00",  # a minus sign, and not ASCII
        "2026-03-01T14:03:22GMT",
        "2026-03-01T14:03:22ZZ",
        "2026-03-01T14:03:22Z[UTC]",
        "20260301T140322Z",
        "2026-060T14:03:22Z",
        "2026-W09-7T14:03:22Z",
        "2026-3-1T14:03:22Z",
        "26-03-01T14:03:22Z",
        "+2026-03-01T14:03:22Z",
        "12026-03-01T14:03:22Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-13-10T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59.999999-14:00",
        "-026-03-01T14:03:22Z",
        "\u0662026-03-01T14:03:22Z",
        "2026-03-01T14:03:22.\u0661Z",
        "\uff12026-03-01T14:03:22Z",
        "1772373802",
        "now",
    ],
)
def test_what_is_no_timestamp(text: str) -> None:
    letter = refused(envelope(event_timestamp=text))
    assert letter.error_type is ErrorType.INVALID_TIMESTAMP
    assert letter.error_message.startswith("event_timestamp ")


@pytest.mark.parametrize(
    ("text", "is_accepted"),
    [
        ("2000-01-01T00:00:00Z", True),
        ("2000-01-01T14:00:00+14:00", True),
        ("1999-12-31T23:59:59.9999999Z", False),
        ("2000-01-01T13:59:59+14:00", False),
        ("1999-12-31T10:00:00-14:00", True),
        ("2000-02-29T00:00:00Z", True),
        ("2026-03-02T14:03:25.25Z", True),
        ("2026-03-02T14:03:25.250000999Z", True),  # the digits past the sixth are cut first
        ("2026-03-02T14:03:25.250001Z", False),
        ("2026-03-03T04:03:25.25+14:00", True),
        ("2026-03-02T00:03:25.26-14:00", False),
    ],
)
def test_the_range_is_2000_to_a_day_after_publishing_both_included(
    text: str, *, is_accepted: bool
) -> None:
    expected = None if is_accepted else "invalid_timestamp"
    assert reason(envelope(event_timestamp=text)) == expected


def test_a_publish_time_at_the_end_of_the_calendar_does_no_harm() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert reason(envelope(event_timestamp="9999-12-31T23:59:59.999999Z"), last) is None


def read_instant(text: str) -> datetime | None:
    """RFC 3339 with the contract's limits, as a second pair of eyes: no regex, no parser."""
    shape = "".join("0" if character in "0123456789" else character for character in text)
    fraction, offset = "", shape[19:]
    if offset.startswith(".0"):
        fraction = text[20 : len(text) - len(offset[1:].lstrip("0"))]
        offset = offset[1 + len(fraction) :]
    if shape[:19].upper() != "0000-00-00T00:00:00" or offset not in {"Z", "z", "+00:00", "-00:00"}:
        return None
    east = 0
    if offset not in {"Z", "z"}:
        east = (int(text[-5:-3]) * 60 + int(text[-2:])) * (-1 if offset[0] == "-" else 1)
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    is_real = (
        year >= 1
        and 1 <= month <= 12
        and 1 <= day <= calendar.monthrange(year, month)[1]
        and (hour <= 23 and minute <= 59 and second <= 59)
        and (abs(east) <= 14 * 60 and (offset in {"Z", "z"} or text[-2:] <= "59"))
    )
    if not is_real:
        return None
    days = date(year, month, day).toordinal() - date(2000, 1, 1).toordinal()
    seconds = days * 86_400 + (hour * 60 + minute - east) * 60 + second
    microseconds = seconds * 1_000_000 + int(fraction[:6].ljust(6, "0"))
    start = datetime(2000, 1, 1, tzinfo=UTC)
    last = (PUBLISHED + timedelta(days=1) - start) // timedelta(microseconds=1)
    return start + timedelta(microseconds=microseconds) if 0 <= microseconds <= last else None


two_digits = st.integers(0, 61).map("{:02}".format)
timestamps = st.builds(
    "{}-{}-{}T{}:{}:{}{}{}".format,
    st.sampled_from(["0000", "0001", "1999", "2000", "2024", "2025", "2026", "9999"]),
    st.integers(0, 13).map("{:02}".format),
    st.integers(0, 32).map("{:02}".format),
    st.integers(0, 25).map("{:02}".format),
    two_digits,
    two_digits,
    st.just("") | st.text("0123456789", max_size=9).map(".{}".format),
    st.sampled_from(["Z", "z"])
    | st.builds("{}{:02}:{}".format, st.sampled_from("+-"), st.integers(0, 15), two_digits),
)
instants = st.builds(
    lambda instant, offset: (
        (instant + timedelta(minutes=offset)).isoformat()
        + f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    ),
    st.datetimes(datetime(1999, 12, 31), datetime(2026, 3, 4)),  # noqa: DTZ001 - written apart
    st.integers(-15 * 60, 15 * 60),
)


@given(mutated(timestamps | instants, "0123456789-:TtZz.+ \u0661"))
@example("2026-03-01T14:03:22Z")
def test_timestamps_are_read_as_the_grammar_says(text: str) -> None:
    instant = read_instant(text)
    result = check(envelope(event_timestamp=text))
    if instant is not None:
        assert isinstance(result, RawOrder)
        assert result.event_timestamp == instant
    elif text.strip(WHITE_SPACE):
        assert isinstance(result, DeadLetter)
        assert result.error_type is ErrorType.INVALID_TIMESTAMP


@given(st.datetimes(datetime(2000, 1, 2), datetime(2026, 3, 1)), st.integers(-840, 840))  # noqa: DTZ001
def test_one_instant_is_the_same_in_every_offset(naive: datetime, offset: int) -> None:
    sign = "-" if offset < 0 else "+"
    local = (naive + timedelta(minutes=offset)).isoformat()
    text = f"{local}{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    row = accepted(envelope(event_timestamp=text))
    assert row.event_timestamp == naive.replace(tzinfo=UTC)


# -- precedence ---------------------------------------------------------------------------------

# Each defect breaks one rule of a message that is whole in all else, in the order of the table.
Defect = Callable[[str], str]


def replaced(name: str, value: str) -> Defect:
    return lambda text: text[:-1] + f', "{name}": {value}}}'


DEFECTS: list[tuple[str, Defect]] = [
    ("not_json", lambda text: text + "]"),
    ("not_an_object", lambda text: f"[{text}]"),
    ("unsupported_text", replaced("note", r'"\ud800"')),
    *[("missing_field", replaced(name, "null")) for name in REQUIRED_FIELDS],
    *[("invalid_field", replaced(name, "1")) for name in ("event_id", "order_id")],
    *[("invalid_field", replaced(name, f'"{"x" * 65}"')) for name in ("event_id", "order_id")],
    ("invalid_field", replaced("schema_version", "0")),
    ("invalid_field", replaced("data", "[]")),
    ("unknown_event_type", replaced("event_type", '"other"')),
    ("invalid_timestamp", replaced("event_timestamp", '"other"')),
]


@pytest.mark.parametrize("first", range(len(DEFECTS)))
def test_the_first_reason_that_applies_is_the_one_given(first: int) -> None:
    whole = json.dumps(ENVELOPE)
    expected, apply_first = DEFECTS[first]
    for _, apply_second in DEFECTS[first:]:
        # The earlier defect goes in last, so that it is the one that counts for its field
        assert reason(apply_first(apply_second(whole))) == expected
    assert reason(apply_first(whole).encode() + b"\xff") == "not_utf8"


def test_the_reasons_of_the_defects_are_in_the_order_of_the_table() -> None:
    order = [error_type.value for error_type in ErrorType]
    positions = [order.index(name) for name, _ in DEFECTS]
    assert all(before <= after for before, after in pairwise(positions))
    assert set(order) - {name for name, _ in DEFECTS} == {"not_utf8"}


def test_every_field_is_looked_for_before_any_is_judged() -> None:
    broken = envelope(event_id=1, event_type=[], event_timestamp="x", schema_version="x", data=1)
    letter = refused(broken | {"order_id": None})
    assert letter.error_type is ErrorType.MISSING_FIELD
    assert letter.error_message.startswith("order_id ")


def test_a_bare_string_with_nul_is_no_object_first() -> None:
    assert reason(r'"\u0000"') == "not_an_object"


def test_an_empty_or_blank_object_misses_its_fields() -> None:
    assert reason("{}") == "missing_field"
    assert reason(" {\n} ") == "missing_field"


# -- source_system ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"shipping"', "shipping"),
        ('" Fax Gateway "', " Fax Gateway "),
        ('""', ""),
        (r'"\u00e9"', "é"),
        ("null", None),
        ("true", "true"),
        ("1.50", "1.50"),
        ("1E400000", "1E400000"),
        ("-0", "-0"),
        ('{ "a" : [ 1.0 , "}" ] }', '{ "a" : [ 1.0 , "}" ] }'),
        ("[ ]", "[ ]"),
        (r'["\u00e9\"", "é"]', r'["\u00e9\"", "é"]'),
        ('[1], "source_system" : [2] ', "[2]"),
        ('[1], "source_system": "shipping"', "shipping"),
        ('"shipping", "source\\u005fsystem"\t:\n{}', "{}"),
        ('[1], "note": {"source_system": [2]}', "[1]"),
        ('[1], "note": "\\"source_system\\": [2]"', "[1]"),
    ],
)
def test_a_source_system_is_kept_as_it_came(text: str, expected: str | None) -> None:
    payload = "\n " + with_member(f'"source_system": {text}') + " "
    assert accepted(payload).source_system == expected


@given(st.lists(st.tuples(st.sampled_from(["source_system", "note", 's"{,:']), json_values)))
def test_the_json_text_of_a_source_system_is_the_last_one(
    members: list[tuple[str, object]],
) -> None:
    texts = [(name, json.dumps(value, indent=1)) for name, value in members]
    spread = "".join(f"\n, {json.dumps(name)} :\t{text} " for name, text in texts)
    row = accepted(json.dumps(ENVELOPE)[:-1] + spread + "}")
    last = dict(members).get("source_system")
    expected = last if last is None or isinstance(last, str) else dict(texts)["source_system"]
    assert row.source_system == expected


# -- the pseudonym ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "patient_id"),
    [
        ('"PT-1"', "PT-1"),
        ('" \\t\\r\\npt-1 "', "PT-1"),
        ('"a b"', "A B"),
        ('"\u00a0pt\u00a0"', "\u00a0PT\u00a0"),
        (r'"\u0070t-1"', "PT-1"),
        ('"0"', "0"),
        ("0", "0"),
        ("-0", "-0"),
        ("12345", "12345"),
        ("1.50", "1.50"),
        ("1e5", "1E5"),
        ("1e400000", "1E400000"),
        ("9" * 5_000, "9" * 5_000),
        ("true", "TRUE"),
        ("false", "FALSE"),
        ("null", None),
        ('""', None),
        ('" \\t\\r\\n"', None),
        ("[]", None),
        ('["PT-1"]', None),
        ("{}", None),
        ('{"patient_id": "PT-1"}', None),
        ('"PT-1", "patient_id": null', None),
        ('"PT-1", "patient_id": 1.50', "1.50"),
        ('1.50, "patient_id": "PT-2"', "PT-2"),
    ],
)
@pytest.mark.parametrize("event_type", ["order_placed", "shipment_scanned"])
def test_the_pseudonym_is_of_the_patient_id(
    event_type: str, text: str, patient_id: str | None
) -> None:
    member = f'"event_type": "{event_type}", "data": {{"patient": {{"patient_id": {text}}}}}'
    row = accepted(with_member(member))
    if patient_id is None:
        assert (row.patient_key, row.patient_key_version) == (None, None)
    else:
        assert (row.patient_key, row.patient_key_version) == (pseudonym(patient_id), KEY_VERSION)


@pytest.mark.parametrize(
    ("member", "patient_id"),
    [
        ('"data": {"patient": {"patient_id": 1}}, "data": {"patient": {"patient_id": 2.0}}', "2.0"),
        ('"data": {"patient": {"patient_id": 1}, "patient": {"patient_id": 2.0}}', "2.0"),
        ('"data": {"patient": {"patient_id": 1}, "patient": {}}', None),
        ('"data": {"patient": {"patient_id": 1}, "patient": null}', None),
        ('"data": {"patient": {"patient_id": 1}}, "data": null', None),
        ('"data": {"patient": {"patient_id": 1}}, "data": {}', None),
        ('"data": [1], "data": {"patient": {"patient_id": 3}}', "3"),
        ('"data": {"patient": [{"patient_id": 1}]}', None),
        ('"data": {"patient": "1"}', None),
        ('"data": {"patient_id": 1}', None),
        ('"patient": {"patient_id": 1}, "data": {}', None),
        ('"data": {"Patient": {"patient_id": 1}}', None),
    ],
)
def test_the_last_patient_of_the_last_data_counts(member: str, patient_id: str | None) -> None:
    expected = None if patient_id is None else pseudonym(patient_id)
    assert accepted(with_member(member)).patient_key == expected


def test_a_pseudonym_is_hmac_sha256_in_lower_case_hex() -> None:
    # printf %s PT-00012345 | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
    expected = "950ef9a3335ae9035f0a3aaa6146e071c6b80e3493d062bf89b713249ab5042a"
    assert PSEUDONYMISER.key_for("PT-00012345") == expected
    assert PSEUDONYMISER.key_for(" \tpt-00012345\r\n") == expected


@given(st.text(min_size=8, max_size=80, alphabet="aé\U0001f600"), st.text(WHITE_SPACE + "aZé9"))
def test_a_pseudonym_is_hmac_under_any_key(text: str, patient_id: str) -> None:
    key = text + "k" * 32
    trimmed = patient_id.strip(" \t\r\n").upper()
    expected = hmac.new(key.encode(), trimmed.encode(), hashlib.sha256).hexdigest()
    pseudonymiser = Pseudonymiser(key, 1)
    assert pseudonymiser.key_for(patient_id) == expected
    assert pseudonymiser.key_for(patient_id) == expected


@pytest.mark.parametrize("key", ["x" * 32, "é" * 16, "x" * 64, "x" * 65, "x" * 1_000])
def test_a_key_of_32_bytes_is_enough(key: str) -> None:
    expected = hmac.new(key.encode(), b"1", hashlib.sha256).hexdigest()
    assert Pseudonymiser(key, 1).key_for("1") == expected


@pytest.mark.parametrize(
    "key", ["", "secret-word", "x" * 31, "é" * 15 + "x", "secret-word\udcff" * 9]
)
def test_a_short_key_is_refused_and_never_shown(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Pseudonymiser(key, 1)
    assert "PBM_PSEUDONYM_KEY" in caught.value.problem
    assert "PBM_PSEUDONYM_KEY" in caught.value.hint
    assert "secret-word" not in repr(caught.value) + caught.value.hint
    assert caught.value.__context__ is None


def test_the_key_is_never_shown_pickled_or_copied() -> None:
    assert repr(PSEUDONYMISER) == str(PSEUDONYMISER) == "Pseudonymiser(version=7)"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps([PSEUDONYMISER], protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            duplicate(PSEUDONYMISER)


# -- what holds for every message ---------------------------------------------------------------

SECRET_ALPHABET = "qxjkвя7"
secrets = st.text(SECRET_ALPHABET, min_size=4, max_size=70)
secret_values = st.recursive(
    secrets | st.integers(70_000_000) | st.booleans() | st.none(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(secrets, children, max_size=3)
    ),
    max_leaves=4,
)
field_names = st.sampled_from([*REQUIRED_FIELDS, "schema_version", "source_system", "data", "note"])
envelopes = st.builds(
    lambda changes, drop: {k: v for k, v in (ENVELOPE | changes).items() if k not in drop},
    st.dictionaries(field_names, secret_values | json_values, max_size=4),
    st.sets(field_names, max_size=1),
)


@given(
    st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
    | json_values.map(lambda value: json.dumps(value).encode())
    | envelopes.map(lambda value: json.dumps(value, ensure_ascii=False).encode())
    | st.builds(
        lambda value, cut, tail: json.dumps(value).encode()[:cut] + tail,
        envelopes,
        st.integers(0, 200),
        st.binary(max_size=3),
    )
)
@example(b"")
def test_any_bytes_are_one_row_or_one_dead_letter_and_nothing_is_lost(data: bytes) -> None:
    result = check(data)
    assert result.message_id == "m-1"
    assert result.attributes == ATTRIBUTES
    assert result.publish_time == PUBLISHED
    if isinstance(result, RawOrder):
        assert result.payload.encode() == data
    else:
        assert base64.b64decode(result.payload_base64, validate=True) == data


ids = st.text(characters, min_size=1, max_size=64).filter(lambda text: text.strip(WHITE_SPACE))


@given(
    st.fixed_dictionaries(
        {
            "event_id": ids,
            "order_id": ids,
            "event_type": st.sampled_from(list(EVENT_TYPES)),
            "event_timestamp": st.just("2026-03-01T14:03:22Z"),
        },
        optional={
            "schema_version": st.integers(1, 2_147_483_647) | st.none(),
            "source_system": json_values,
            "data": st.none() | st.dictionaries(st.sampled_from(["patient", "ndc"]), json_values),
            "note": json_values,
        },
    ),
    st.sampled_from([json.dumps, json.JSONEncoder(indent=1, ensure_ascii=False).encode]),
)
def test_a_whole_envelope_is_accepted_and_kept_byte_for_byte(
    event: dict[str, Any], write: Callable[[object], str]
) -> None:
    payload = write(event)
    row = accepted(payload)
    assert row.payload.encode() == payload.encode()
    assert (row.event_id, row.order_id) == (event["event_id"], event["order_id"])
    assert row.event_type == event["event_type"]
    assert row.schema_version == (event.get("schema_version") or 1)


@given(
    envelopes | st.lists(secret_values),
    st.sampled_from([b"", b"]", b"\xff", b"qxjk", b"NaN"]),
    st.none() | st.integers(0, 300),
)
def test_an_error_message_never_holds_a_value_of_the_payload(
    value: object, tail: bytes, cut: int | None
) -> None:
    letter = check(json.dumps(value, ensure_ascii=False)[:cut].encode() + tail)
    if isinstance(letter, DeadLetter):
        assert letter.error_message.isascii()
        assert letter.error_message.endswith(".")
        for start in range(len(letter.error_message) - 2):
            assert not set(letter.error_message[start : start + 3]) <= set(SECRET_ALPHABET)
