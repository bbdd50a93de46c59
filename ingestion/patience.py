"""Waiting for a warehouse that is away: it restarts, or fails over."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from pbm.errors import UnreachableError

PATIENCE_SECONDS: Final = 60.0
"""How long it is waited for, before the run gives up."""

_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")


def patiently(action: Callable[[], Result], seconds: float = PATIENCE_SECONDS) -> Result:
    """Do it, again and again while the warehouse does not answer.

    Args:
        action: What may be done more than once.
        seconds: For how long.

    Raises:
        UnreachableError: The warehouse is still away after that.
    """
    deadline = time.monotonic() + seconds
    pause = 0.2
    while True:
        try:
            return action()
        except UnreachableError as error:
            if time.monotonic() + pause > deadline:
                raise
            _LOG.warning("waiting for the warehouse", extra={"problem": error.problem})
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
