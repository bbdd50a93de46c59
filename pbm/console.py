"""How `pbm` talks: results to standard output, everything else to standard error."""

import json
import os
import shlex
import sys
from collections.abc import Mapping

from rich.console import Console

# Rich wraps at 80 columns where there is no terminal; a log should keep its lines whole.
_WIDTH = None if sys.stderr.isatty() or "COLUMNS" in os.environ else 120

out = Console(width=_WIDTH, highlight=False)
err = Console(stderr=True, width=_WIDTH, highlight=False)


def print_json(value: object) -> None:
    """Print ``value`` as JSON, for scripts."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_exports(variables: Mapping[str, str]) -> None:
    """Print shell ``export`` lines."""
    for name, value in variables.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def say(message: str) -> None:
    """Tell the person at the terminal something, on standard error."""
    err.print(message, soft_wrap=True)
