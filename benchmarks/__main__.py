"""`python -m benchmarks [SECTION …]`: measure, and write docs/benchmarks.md."""

import functools
import signal
from typing import Annotated

import typer

from benchmarks import dashboards, ingestion, orchestration, warehouse


def main(
    sections: Annotated[
        list[str] | None,
        typer.Argument(
            help="ingestion, warehouse, orchestration, dashboards (after warehouse); all if none."
        ),
    ] = None,
    events: Annotated[int, typer.Option(min=1000, help="Size of the ingestion run.")] = 100_000,
    backlog: Annotated[
        int,
        typer.Option(
            min=1000,
            help="The larger backlog; Google's emulator needs about 7 KB of memory for each.",
        ),
    ] = 300_000,
    file_backlog: Annotated[
        int, typer.Option(min=1000, help="The larger backlog in a file.")
    ] = 1_000_000,
    orders: Annotated[int, typer.Option(min=1000, help="Orders in the warehouse.")] = 1_000_000,
    fewer_orders: Annotated[
        int, typer.Option(min=1000, help="Orders in the smaller warehouse, to see how it grows.")
    ] = 100_000,
    pipeline_orders: Annotated[
        int, typer.Option(min=100, help="Orders that Airflow's pipeline builds.")
    ] = 50_000,
) -> None:
    """Measure speed as ratios against baselines of the same run."""
    if not sections or "ingestion" in sections:
        ingestion.run(events, backlog, file_backlog)
    if not sections or {"warehouse", "dashboards"}.intersection(sections):
        wants_pages = not sections or "dashboards" in sections
        pages = functools.partial(dashboards.run, orders) if wants_pages else None
        warehouse.run(orders, fewer_orders, pages)
    if not sections or "orchestration" in sections:
        orchestration.run(pipeline_orders)


if __name__ == "__main__":
    # a run that is told to end ends its services, as after Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    typer.run(main)
