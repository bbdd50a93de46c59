"""Measurements to JSON and to docs/benchmarks.md, with the machine they were made on."""

import importlib
import inspect
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass
class Measurement:
    """One figure: what was done, how much of it, how long it took, and against what it counts.

    Attributes:
        name: What was done.
        count: How many of ``unit`` were handled.
        unit: What was counted.
        seconds: Wall time.
        baseline: Name of the measurement of the same run that this one is compared with.
        note: What a reader must know to judge it.
    """

    name: str
    count: int
    unit: str
    seconds: float
    baseline: str | None = None
    note: str = ""

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / self.seconds


@dataclass
class Section:
    """The measurements of one run of one part."""

    name: str
    measurements: list[Measurement] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def measure(
        self, name: str, count: int, unit: str, *, baseline: str | None = None, note: str = ""
    ) -> Iterator[None]:
        """Time the block and remember it."""
        print(f"{self.name}: {name} …", flush=True)
        started = time.perf_counter()
        yield
        one = Measurement(name, count, unit, time.perf_counter() - started, baseline, note)
        self.measurements.append(one)
        print(f"{self.name}: {name}: {one.rate:,.0f} {unit}/s", flush=True)

    def add(
        self,
        name: str,
        count: int,
        unit: str,
        seconds: float,
        *,
        baseline: str | None = None,
        note: str = "",
    ) -> None:
        """Remember what something else has timed."""
        self.measurements.append(Measurement(name, count, unit, seconds, baseline, note))
        print(f"{self.name}: {name}: {seconds:.1f} s", flush=True)

    def write(self) -> Path:
        """Write the section's JSON, and the page with all sections' tables."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        result = {
            "section": self.name,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "measurements": [asdict(one) for one in self.measurements],
            "facts": self.facts,
        }
        path.write_text(json.dumps(result, indent=2) + "\n")
        write_page()
        return path


def machine() -> str:
    """This machine, in words."""
    memory = round(psutil.virtual_memory().total / 2**30)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory} GiB, "
        f"{platform.system()}, Python {platform.python_version()}"
    )


def write_page() -> None:
    """Write docs/benchmarks.md from all results."""
    parts = [
        "# Benchmarks",
        "",
        "Made by `make bench`, which writes this page; the figures themselves are in",
        "`benchmarks/results/`. A ratio compares two figures of the same run on the same machine.",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text())
        measurements = [Measurement(**one) for one in result["measurements"]]
        day = result["measured_at"][:10]
        parts += ["", f"## {result['section']}", "", *_about(result["section"]), ""]
        parts += [f"{result['machine']}; {day}.", ""]
        parts += _table(measurements)
        if result["facts"]:
            parts += ["", "| what | |", "|---|--:|"]
            parts += [f"| {name} | {value} |" for name, value in result["facts"].items()]
    PAGE.write_text("\n".join(parts) + "\n")


def _about(section: str) -> list[str]:
    """What a section's module says of itself."""
    text = inspect.getdoc(importlib.import_module(f"benchmarks.{section}")) or ""
    about = text.removeprefix(f"Section {section}: ")
    return (about[:1].upper() + about[1:]).splitlines()


def _table(measurements: Sequence[Measurement]) -> list[str]:
    rates = {one.name: one.rate for one in measurements}
    rows = ["| what | count | seconds | a second | ratio | |", "|---|--:|--:|--:|--:|---|"]
    for one in measurements:
        ratio = "" if one.baseline is None else f"{one.rate / rates[one.baseline]:.2f}"
        against = "" if one.baseline is None else f"of *{one.baseline}*. "
        rows.append(
            f"| {one.name} | {one.count:,} {one.unit} | {one.seconds:.1f} | {one.rate:,.0f} "
            f"| {ratio} | {against}{one.note} |"
        )
    return rows
