"""Messages that ingestion must refuse, for every reason it knows.

Each maker breaks an otherwise good message in one way. None of them depends on when it is
published: a timestamp that is too late is so for thousands of years.
"""

from collections.abc import Callable
from typing import Final

from ingestion.events import ErrorType

# `{e}` event id, `{o}` order id, `{t}` a good timestamp.
_GOOD: Final = (
    '{"event_id":"%(e)s","event_type":"order_dispensed","event_timestamp":"%(t)s",'
    '"schema_version":1,"source_system":"warehouse_scanner","order_id":"%(o)s",'
    '"data":{"lot_number":"L0001A","verified_by_role":"pharmacist"}}'
)

Maker = Callable[[str, str, str], bytes]


def _good(event_id: str, order_id: str, at: str) -> str:
    return _GOOD % {"e": event_id, "o": order_id, "t": at}


def _text(old: str, new: str) -> Maker:
    """Replace a piece of the good message."""

    def make(event_id: str, order_id: str, at: str) -> bytes:
        good = _good(event_id, order_id, at)
        broken = good.replace(old.replace("@t", at).replace("@o", order_id), new, 1)
        return broken.replace("@t", at).encode()

    return make


def _raw(old: bytes, new: bytes) -> Maker:
    """Replace some bytes of the good message."""

    def make(event_id: str, order_id: str, at: str) -> bytes:
        return _good(event_id, order_id, at).encode().replace(old, new, 1)

    return make


def _truncated(event_id: str, order_id: str, at: str) -> bytes:
    good = _good(event_id, order_id, at)
    return good[: len(good) * 2 // 3].encode()


def _byte_order_mark(event_id: str, order_id: str, at: str) -> bytes:
    return b"\xef\xbb\xbf" + _good(event_id, order_id, at).encode()


def _too_deep(event_id: str, order_id: str, at: str) -> bytes:
    good = _good(event_id, order_id, at)
    return good.replace('"L0001A"', "[" * 140 + "]" * 140, 1).encode()


def _in_a_list(event_id: str, order_id: str, at: str) -> bytes:
    return f"[{_good(event_id, order_id, at)}]".encode()


def _plain_string(event_id: str, order_id: str, at: str) -> bytes:
    return f'"{event_id} {order_id} {at}"'.encode()


def _long_id(event_id: str, order_id: str, at: str) -> bytes:
    return _good(event_id + "-" + "0" * 64, order_id, at).encode()


def _naive(event_id: str, order_id: str, at: str) -> bytes:
    return _good(event_id, order_id, at[:19]).encode()


def _with_space(event_id: str, order_id: str, at: str) -> bytes:
    return _good(event_id, order_id, at.replace("T", " ", 1)).encode()


def _leap_second(event_id: str, order_id: str, at: str) -> bytes:
    return _good(event_id, order_id, at[:17] + "60Z").encode()


MALFORMED: Final[dict[ErrorType, tuple[Maker, ...]]] = {
    ErrorType.NOT_UTF8: (
        _raw(b"pharmacist", "farmac\u00e9utico".encode("latin-1")),
        _raw(b"L0001A", b"L\xff\xfe01A"),
        _raw(b"L0001A", b"\xed\xa0\x80"),
    ),
    ErrorType.NOT_JSON: (
        _truncated,
        _byte_order_mark,
        _too_deep,
        _text('"L0001A"', "NaN"),
        _text('"L0001A"', "-Infinity"),
        _text('"L0001A"', "'L0001A'"),
        _text('"L0001A",', '"L0001A",,'),
    ),
    ErrorType.NOT_AN_OBJECT: (_in_a_list, _plain_string),
    ErrorType.UNSUPPORTED_TEXT: (
        _text("L0001A", "L\\u0000A"),
        _text("pharmacist", "\\ud83d pharmacist"),
        _text('"lot_number"', '"lot\\u0000number"'),
    ),
    ErrorType.MISSING_FIELD: (
        _text('"order_id":"@o",', ""),
        _text('"event_timestamp":"@t"', '"event_timestamp":null'),
        _text('"event_type":"order_dispensed"', '"event_type":"  "'),
        lambda _event_id, order_id, at: _good("", order_id, at).encode(),
    ),
    ErrorType.INVALID_FIELD: (
        _text('"schema_version":1', '"schema_version":"1"'),
        _text('"schema_version":1', '"schema_version":0'),
        _text('"event_timestamp":"@t"', '"event_timestamp":1767600000'),
        _text(
            '"data":{"lot_number":"L0001A","verified_by_role":"pharmacist"}', '"data":["L0001A"]'
        ),
        _long_id,
    ),
    ErrorType.UNKNOWN_EVENT_TYPE: (
        _text("order_dispensed", "order_teleported"),
        _text("order_dispensed", "orderdispensed"),
    ),
    ErrorType.INVALID_TIMESTAMP: (
        _naive,
        _with_space,
        _leap_second,
        _text('"event_timestamp":"@t"', '"event_timestamp":"1999-12-31T23:59:59Z"'),
        _text('"event_timestamp":"@t"', '"event_timestamp":"9999-01-01T00:00:00Z"'),
        _text('"event_timestamp":"@t"', '"event_timestamp":"03/01/2026 9:03 AM"'),
    ),
}
ERROR_TYPES: Final = tuple(error_type.value for error_type in MALFORMED)


def error_type_of(number: int) -> str:
    """Return the reason that malformed message ``number`` is refused for."""
    return ERROR_TYPES[number % len(ERROR_TYPES)]


def make_malformed(number: int, event_id: str, order_id: str, at: str) -> bytes:
    """Return a message that is refused: reasons take turns, and so do their ways.

    Args:
        number: Which one of the run, from 0.
        event_id: Its id, where it gets that far.
        order_id: The order it names.
        at: A good timestamp in UTC, ending in ``Z``.
    """
    makers = MALFORMED[ErrorType(error_type_of(number))]
    return makers[number // len(ERROR_TYPES) % len(makers)](event_id, order_id, at)
