"""Fuzzing the acceptance check: mutated messages, and what must hold of every answer.

    python -m tests.ingestion.fuzz --seconds 600

runs for as long as it is told to; `make test` runs it for two seconds.
"""

import argparse
import base64
import copy
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from ingestion.events import (
    EVENT_TYPES,
    MAX_ID_LENGTH,
    MAX_SCHEMA_VERSION,
    DeadLetter,
    Message,
    Pseudonymiser,
    RawOrder,
    check_message,
    live_labels,
    patient_id_of,
)
from ingestion.sinks import copy_line
from ingestion.suppression import SubjectHasher, SuppressionList, named_in

PUBLISHED = datetime(2026, 3, 1, 12, tzinfo=UTC)
PSEUDONYMISER = Pseudonymiser("a key for fuzzing, of 32 bytes or more", 1)
SECRET = "Quetzalcoatl"
"""A name that stands in every seed: no error message may repeat it."""

TOKENS = (
    b"\\u0000", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\x00", b"\xff", b"\xef\xbb\xbf",
    b"NaN", b"-Infinity", b"1e400000", b"9" * 5000, b"-", b"null", b"true", b"[", b"]", b"{", b"}",
    b'"', b":", b",", b"\\", b"\\\\", b"\r\n", b"\t", b" ", b"[" * 200, b'{"a":' * 130,
    b"'; drop table x; --", b"../../etc/passwd", b"\x1b[2J", b'"event_id":', b'"data":',
    b'"patient":', b'"schema_version":', b"2026-02-30T25:61:61Z",
    b"9999-12-31T23:59:59.999999999-14:00", b"\xf0\x9f\x92\x8a", b"Order Placed",
)  # fmt: skip


def seeds() -> list[bytes]:
    """One good message of every type, each with a patient."""
    found = []
    for name in EVENT_TYPES:
        patient = {"patient_id": "P-1", "first_name": SECRET, "state": "MA", "zip": "02139"}
        event = {
            "event_id": f"e-{name}", "event_type": name, "order_id": "o-1", "schema_version": 1,
            "event_timestamp": "2026-03-01T09:00:00.123456Z", "source_system": "shipping",
            "data": {"patient": patient, "status": "approved", "quantity": 1.5},
        }  # fmt: skip
        found.append(json.dumps(event).encode())
    return found


VALUES: tuple[object, ...] = (
    None, True, 0, -1, 1.5, 10**30, 2**31, float("inf"), "", " \t", "x" * 65, "1", "\x00", "\ud800",
    "\U0001f48a", [], {}, [[]], {"a": {}}, "order_shipped", " Order-Delivered ",
    "0001-01-01T00:00:00Z",
)  # fmt: skip


def rewritten(random_: random.Random) -> bytes:
    """A good message with some of its values replaced, written with and without line breaks."""
    event = json.loads(random_.choice(seeds()))
    for _ in range(random_.randint(1, 3)):
        place = random_.choice([event, event.get("data"), {}])
        if isinstance(place, dict) and place:
            place[random_.choice(list(place))] = copy.deepcopy(random_.choice(VALUES))
    return json.dumps(event, indent=random_.choice([None, None, 1])).encode()


def mutated(random_: random.Random, corpus: list[bytes]) -> bytes:
    """A message of the corpus with some changes."""
    if random_.random() < 0.4:
        return rewritten(random_)
    data = bytearray(random_.choice(corpus))
    for _ in range(random_.randint(1, 6)):
        at = random_.randrange(len(data) + 1)
        match random_.randrange(6):
            case 0:
                data[at:at] = random_.choice(TOKENS)
            case 1:
                del data[at : at + random_.randint(1, 20)]
            case 2 if data:
                data[at % len(data)] = random_.randrange(256)
            case 3:
                data[at:at] = data[: random_.randrange(len(data) + 1)]
            case 4:
                other = random_.choice(corpus)
                data[at:] = other[random_.randrange(len(other)) :]
            case _:
                data[at : at + 8] = random_.choice(TOKENS)
    return bytes(data[:100_000])


def check(data: bytes) -> str:
    """Check one message and everything that must hold of the answer; return what it was."""
    message = Message("m-1", data, {"event_id": "e"}, PUBLISHED)
    result = check_message(message, PSEUDONYMISER)
    if isinstance(result, DeadLetter):
        assert base64.b64decode(result.payload_base64) == data
        assert SECRET not in result.error_message
        assert result.error_message.isprintable()
        assert result.error_message.endswith(".")
        outcome = str(result.error_type)
    else:
        _check_row(result, data)
        outcome = "accepted"
    # one row is one line of COPY, whatever the message says
    assert copy_line(result).count("\n") == 1
    named_in(data)
    return outcome


def _check_row(row: RawOrder, data: bytes) -> None:
    assert row.payload.encode() == data
    assert row.event_type in EVENT_TYPES
    assert 1 <= len(row.event_id) <= MAX_ID_LENGTH
    assert 1 <= len(row.order_id) <= MAX_ID_LENGTH
    for text in (row.event_id, row.order_id, row.payload, row.source_system or ""):
        text.encode()
        assert "\x00" not in text
    # nor in any string once it is read, one that a later name replaces included
    read = json.loads(row.payload, parse_int=str, parse_float=str, object_pairs_hook=list)
    assert "\\u0000" not in json.dumps(read, ensure_ascii=False)
    json.dumps(read, ensure_ascii=False).encode()
    assert 1 <= row.schema_version <= MAX_SCHEMA_VERSION
    assert (row.patient_key is None) is (patient_id_of(row.payload) is None)
    assert row.patient_key is None or len(row.patient_key) == 64
    live_labels(row.event_type, row.payload)
    kept, erased = SuppressionList(frozenset(), SubjectHasher("k" * 32)).sift([row])
    assert (kept, erased) == ([row], [])


def outcomes(seconds: float, seed: int) -> Iterator[str]:
    """Fuzz for some seconds; give what each message was."""
    random_ = random.Random(seed)  # noqa: S311  no secret
    corpus = seeds()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for _ in range(200):
            data = mutated(random_, corpus)
            outcome = check(data)
            # what was accepted in a new form is mutated further
            if outcome == "accepted" and len(corpus) < 500 and random_.random() < 0.05:
                corpus.append(data)
            yield outcome


def main() -> None:
    """Fuzz and print how often each answer was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    counts = Counter(outcomes(arguments.seconds, arguments.seed))
    print(f"seed {arguments.seed}: {counts.total():,} messages")  # noqa: T201
    for outcome, count in counts.most_common():
        print(f"{count:>12,} {outcome}")  # noqa: T201


if __name__ == "__main__":
    main()
