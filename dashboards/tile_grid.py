"""The states of the United States as a grid of equal tiles: a map without a map server.

The arrangement is the one that NPR drew in 2015, which many newsrooms use: each state a square of
one size, near where it lies. Equal tiles do not make Wyoming louder than New Jersey.
"""

from collections.abc import Mapping
from typing import Final

_ROWS: Final = (
    "AK .. .. .. .. .. .. .. .. .. ME",
    ".. .. .. .. .. .. .. .. .. VT NH",
    "WA ID MT ND MN IL WI MI NY RI MA",
    "OR NV WY SD IA IN OH PA NJ CT ..",
    "CA UT CO NE MO KY WV VA MD DE ..",
    ".. AZ NM KS AR TN NC SC DC .. ..",
    ".. .. .. OK LA MS AL GA .. .. ..",
    "HI .. .. TX .. .. .. .. FL .. PR",
)

PLACES: Final[Mapping[str, tuple[int, int]]] = {
    state: (row, column)
    for row, line in enumerate(_ROWS, start=1)
    for column, state in enumerate(line.split(), start=1)
    if state != ".."
}
"""Row and column of each state, from 1, by its two letters; the District and Puerto Rico too."""
