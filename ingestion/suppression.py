"""Whose messages are not kept: patients who were erased, and the orders erased with them.

Events of an erased patient go on coming in: from a source that has not erased the patient yet, out
of Pub/Sub, or when a file is ingested again. Bronze must not take them, and nothing may be lost
without a trace: such a message becomes a dead letter without its bytes and attributes, so that it
is known to have come and nothing is known of what it said.

The database holds keyed hashes only. Their key is not the key of the pseudonyms, because that one
changes, and the hash of somebody who was erased cannot be computed again.
"""

import functools
import hmac
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ingestion.events import WHITE_SPACE, DeadLetter, RawOrder
from pbm.errors import ConfigurationError
from pbm.settings import load_settings
from pbm.stack import Stack

ERASED: Final = "patient_erased"
"""Reason of a dead letter that says: a message came, or was here, of a patient who was erased."""

ERASED_MESSAGE: Final = "The patient or order was erased: nothing of the message is kept."

_MIN_KEY_BYTES: Final = 32


class SubjectHasher:
    """Hashes patients and orders under the key of the suppression list.

    Args:
        key: The key's text, 32 bytes of UTF-8 at least.

    Raises:
        ConfigurationError: The key is too short.
    """

    __slots__ = ("_hmac",)

    def __init__(self, key: str) -> None:
        if len(key.encode("utf-8", "ignore")) < _MIN_KEY_BYTES:
            raise ConfigurationError(
                f"PBM_SUPPRESSION_KEY must be UTF-8 text of at least {_MIN_KEY_BYTES} bytes.",
                "Set it to a random secret, such as the output of `openssl rand -hex 32`.",
            )
        self._hmac = hmac.new(key.encode(), digestmod="sha256")

    def patient(self, patient_id: str) -> str:
        """The hash of a patient id; it is trimmed and upper-cased here, as for a pseudonym."""
        return self._hash("patient", patient_id.strip(WHITE_SPACE).upper())

    def order(self, order_id: str) -> str:
        """The hash of an order id, exactly as received."""
        return self._hash("order", order_id)

    def _hash(self, kind: str, text: str) -> str:
        hashed = self._hmac.copy()
        hashed.update(f"{kind}\x1f{text}".encode("utf-8", "surrogatepass"))
        return hashed.hexdigest()

    def __repr__(self) -> str:
        return "SubjectHasher()"


@functools.cache
def load_hasher() -> SubjectHasher:
    """The hasher of this process's settings: the environment's key, or the local stack's own."""
    return SubjectHasher(Stack(load_settings()).suppression_key())


class SuppressionList:
    """The hashes of a warehouse, and the key to ask them.

    Args:
        hashes: Those of ``pbm_ops.suppressed_subjects``.
        hasher: The key; only asked for where there are hashes.
    """

    def __init__(self, hashes: frozenset[str], hasher: SubjectHasher) -> None:
        self._hashes = hashes
        self._hasher = hasher

    def sift(self, raw_orders: Sequence[RawOrder]) -> tuple[list[RawOrder], list[DeadLetter]]:
        """The rows that bronze may take, and what becomes of the others."""
        kept: list[RawOrder] = []
        erased: list[DeadLetter] = []
        for order in raw_orders:
            if self._names(order.payload.encode(), [order.order_id]):
                erased.append(tombstone(order))
            else:
                kept.append(order)
        return kept, erased

    def wiped(self, dead_letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """The dead letters, without the bytes of those that name somebody on the list."""
        import base64

        return [
            tombstone(letter) if self._names(base64.b64decode(letter.payload_base64)) else letter
            for letter in dead_letters
        ]

    def _names(self, data: bytes, orders: Sequence[str] = ()) -> bool:
        patient_ids, order_ids = named_in(data)
        return any(self._hasher.order(one) in self._hashes for one in {*orders, *order_ids}) or any(
            self._hasher.patient(one) in self._hashes for one in set(patient_ids)
        )


def tombstone(message: RawOrder | DeadLetter) -> DeadLetter:
    """The dead letter that stays of a message of which nothing may be kept."""
    return DeadLetter(message.message_id, "", {}, ERASED, ERASED_MESSAGE, message.publish_time)


def named_in(data: bytes) -> tuple[list[str], list[str]]:
    """The patient ids and order ids that a message names, wherever in its JSON they stand.

    Args:
        data: A message's bytes. What is no JSON names nobody.
    """
    try:
        # no number is computed: one of 5,000 digits must not be an error
        value = json.loads(data, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return [], []
    patients: list[str] = []
    orders: list[str] = []
    for name, text in _texts(value):
        if name == "patient_id":
            patients.append(text)
        elif name == "order_id":
            orders.append(text)
    return patients, orders


def _texts(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  JSON
    """Every scalar with the name of its member; without recursion, as depth is anybody's choice."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        name, one = waiting.pop()
        if isinstance(one, dict):
            waiting.extend(one.items())
        elif isinstance(one, list):
            waiting.extend((name, element) for element in one)
        elif one is not None:
            yield name, str(one).lower() if isinstance(one, bool) else str(one)
