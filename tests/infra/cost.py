"""docs/cost.md: what a million events cost, from list prices, by formulas that stand beside them.

    python -m tests.infra.cost

writes the tables anew; a test fails when they are stale.
"""

from typing import Final, NamedTuple

from tests.conftest import PROJECT_ROOT

PATH: Final = PROJECT_ROOT / "docs" / "cost.md"


class Price(NamedTuple):
    """A list price in US dollars, and where it was read."""

    usd: float
    per: str
    source: str


PRICES: Final = {
    "pubsub": Price(40.0, "TiB published or delivered", "cloud.google.com/pubsub/pricing"),
    "streaming_insert": Price(
        0.01, "200 MB inserted, a row counts 1 KB at least", "cloud.google.com/bigquery/pricing"
    ),
    "storage": Price(0.02, "GB and month, active", "cloud.google.com/bigquery/pricing"),
    "analysis": Price(
        6.25, "TiB scanned", "reported by third parties, August 2025; the page kept says 5.00"
    ),
}
"""Read on 2026-11-24 in stored copies of these pages, which may be older: check before you plan."""

EVENTS: Final = 1_000_000
MESSAGE_BYTES: Final = 500
"""A message: the simulator's have 341 bytes in the mean, and attributes, id and time on top."""

EVENTS_PER_ORDER: Final = 8
"""The simulator's orders have 7.6 in the mean."""

SCANS_PER_BUILD: Final = 3
"""How often a build reads the bytes of what is new: bronze, silver and what gold reads of it."""

TIB: Final = 1024**4
GB: Final = 1024**3


class Cost(NamedTuple):
    """One line: what, the formula in words, and the result in US dollars."""

    what: str
    formula: str
    usd: float


def costs() -> list[Cost]:
    """What a million events cost, part by part."""
    raw = EVENTS * MESSAGE_BYTES
    row = max(MESSAGE_BYTES, 1000)
    stored = raw * 3
    price = {name: one.usd for name, one in PRICES.items()}
    return [
        Cost("Pub/Sub, published and delivered once", "2 * events * bytes / TiB * price",
             2 * raw / TIB * price["pubsub"]),
        Cost("BigQuery, rows of bronze inserted", "events * max(bytes, 1 KB) / 200 MB * price",
             EVENTS * row / (200 * 1024**2) * price["streaming_insert"]),
        Cost("BigQuery, a month of storage", "events * bytes * 3 layers / GB * price",
             stored / GB * price["storage"]),
        Cost("BigQuery, built once incrementally", "events * bytes * 3 scans / TiB * price",
             raw * SCANS_PER_BUILD / TIB * price["analysis"]),
    ]  # fmt: skip


def written(text: str) -> str:
    """The page with its tables as the prices say."""
    for name, lines in (("prices", _prices()), ("costs", _costs())):
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}"
    return text


def _prices() -> list[str]:
    lines = ["| what | US dollars | per | read at |", "|---|---|---|---|"]
    lines += [f"| {n} | {p.usd:.2f} | {p.per} | {p.source} |" for n, p in PRICES.items()]
    return lines


def _costs() -> list[str]:
    found = costs()
    lines = ["| part | formula | US dollars |", "|---|---|---|"]
    lines += [f"| {one.what} | {one.formula} | {one.usd:.3f} |" for one in found]
    total = sum(one.usd for one in found)
    lines.append(f"| **together** | | **{total:.2f}** |")
    lines.append("")
    lines.append(
        f"With {MESSAGE_BYTES} bytes a message and {EVENTS_PER_ORDER} events an order, a million "
        f"events are {EVENTS // EVENTS_PER_ORDER:,} orders: "
        f"{total / (EVENTS / EVENTS_PER_ORDER) * 1000:.4f} US dollars for a thousand orders."
    )
    return lines


if __name__ == "__main__":
    PATH.write_text(written(PATH.read_text()))
