"""What each metric means, as the dbt project says it: read from its manifest, not typed again."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(
    r"\*\*(?P<name>[^*]+)\.\*\* (?P<what>.+?)\n\n- Formula: (?P<formula>.+)"
    r"\n- Read from: (?P<read_from>.+)\n- Target: (?P<target>.+)\n- Target from: (?P<source>.+)"
)
_PREFIX: Final = "metric_"


@dataclass(frozen=True)
class Metric:
    """One metric of ``models/docs/metrics.md``.

    Attributes:
        name: What it is called.
        what: What it is, in words.
        formula: How it is computed.
        read_from: The columns that it is read from, as Markdown.
        target: What is aimed at.
        source: Who says so: ``ours``, ``sourced``, or that nobody does.
    """

    name: str
    what: str
    formula: str
    read_from: str
    target: str
    source: str

    @property
    def help(self) -> str:
        """The metric explained, as Markdown for a tooltip."""
        return (
            f"**{self.name}.** {self.what}\n\n"
            f"**Formula.** {self.formula}\n\n"
            f"**Read from.** {self.read_from}\n\n"
            f"**Target.** {self.target}\n\n"
            f"**Target from.** {self.source}"
        )


def read(manifest: Path) -> dict[str, Metric]:
    """The metrics of a manifest by their names, without ``metric_``; empty where it has none.

    Args:
        manifest: dbt's ``manifest.json``; one that is missing or damaged has no metrics.
    """
    try:
        docs = json.loads(manifest.read_text())["docs"].values()
        blocks = {block["name"]: block["block_contents"] for block in docs}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    found = {}
    for name, text in blocks.items():
        match = _BLOCK.fullmatch(text.strip())
        if name.startswith(_PREFIX) and match:
            found[name.removeprefix(_PREFIX)] = Metric(**match.groupdict())
    return found
