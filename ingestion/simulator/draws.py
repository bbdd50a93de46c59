"""Random draws that are the same bits on every machine.

Each question the model asks has its own stream, seeded by its name: an incident or a knob can
change one answer without shifting all the others. Only operations that IEEE 754 rounds exactly
are used on random numbers. Logarithms and exponentials are not among them (vector units differ in
the last bit), so lognormal and normal values come from tables of quantiles rounded to six decimals.
"""

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from ingestion.simulator.settings import Dwell

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]

_QUANTILES: Final = 16384
_MULTIPLIER_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2: Final = np.uint64(0x94D049BB133111EB)


@lru_cache(maxsize=1)
def normal_quantiles() -> Floats:
    """Return the standard normal at the middle of each of 16,384 equal shares."""
    normal = NormalDist()
    values = [round(normal.inv_cdf((i + 0.5) / _QUANTILES), 6) for i in range(_QUANTILES)]
    return np.array(values, dtype=np.float64)


@lru_cache(maxsize=64)
def lognormal_quantiles(sigma: float) -> Floats:
    """Return the lognormal of median 1 at the middle of each of 16,384 equal shares."""
    values = [round(math.exp(sigma * z), 6) for z in normal_quantiles().tolist()]
    return np.array(values, dtype=np.float64)


class Draws:
    """Streams of random numbers, one for each question.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def stream(self, question: str) -> np.random.Generator:
        """Return a new generator at the start of this question's stream."""
        digest = hashlib.sha256(f"{self._seed}:{question}".encode()).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))

    def uniform(self, question: str, count: int) -> Floats:
        """Draw from 0 to below 1."""
        return self.stream(question).random(count)

    def below(self, question: str, count: int, limit: int) -> Ints:
        """Draw whole numbers from 0 to below ``limit``."""
        drawn: Ints = self.stream(question).integers(0, limit, count, dtype=np.int64)
        return drawn

    def chance(self, question: str, count: int, share: float | Floats) -> Bools:
        """Draw true with this probability."""
        drawn: Bools = self.uniform(question, count) < share
        return drawn

    def pick(self, question: str, count: int, weights: Sequence[float]) -> Ints:
        """Draw positions in ``weights``, each as often as its weight says."""
        limits = np.cumsum(np.array(weights, dtype=np.float64))
        found = np.searchsorted(limits, self.uniform(question, count) * limits[-1], side="right")
        picked: Ints = np.minimum(found, len(limits) - 1).astype(np.int64)
        return picked

    def factor(self, question: str, count: int, sigma: float) -> Floats:
        """Draw lognormal values with median 1."""
        return lognormal_quantiles(sigma)[self.below(question, count, _QUANTILES)]

    def seconds(self, question: str, count: int, dwell: Dwell) -> Ints:
        """Draw how long a step takes, in seconds, 30 at least."""
        drawn = self.factor(question, count, dwell.sigma) * (dwell.median_hours * 3600)
        return drawn.astype(np.int64) + 30


def noise(keys: Ints, salt: int) -> npt.NDArray[np.uint64]:
    """Return 64 well-mixed bits for each key (splitmix64).

    The form of a value (its case, its spacing) comes from these bits, so that an event reads the
    same whenever it is written, whatever was written before it.
    """
    start = int.from_bytes(hashlib.sha256(str(salt).encode()).digest()[:8], "big")
    mixed = keys.astype(np.uint64) + np.uint64(start)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MULTIPLIER_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MULTIPLIER_2
    return mixed ^ (mixed >> np.uint64(31))
