"""The commands of surveys: `pbm generate surveys`, `pbm surveys load` and `pbm surveys verify`."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from ingestion import surveys
from ingestion.files import written
from ingestion.surveys import SurveyResponse
from pbm import console
from pbm.errors import CheckFailedError
from pbm.logs import log_to
from pbm.settings import load_settings
from pbm.stack import Stack

POSTGRES = "postgres"

app = typer.Typer(no_args_is_help=True, help="Load and verify survey responses in PostgreSQL.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def generate_surveys(
    *,
    responses: Annotated[
        int | None,
        typer.Option(
            help="How many orders are answered for, at most: those whose patients are the most "
            "willing. If not given, each answers or not by the response rate."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives an order the same answer.")] = 0,
    to: Annotated[
        str,
        typer.Option(metavar="postgres|FILE|-", help="The database, a file, or standard output."),
    ] = POSTGRES,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"],
            help="Answers after this moment, in UTC, are not there yet; now if not given.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Generate answers of patients to whom an order of gold was delivered.

    Running the command again with the same seed adds only answers about what was delivered since.
    """
    from ingestion import generate_survey_data

    settings = load_settings()
    log_to(settings.home)
    dsn = Stack(settings).require_postgres_dsn()
    orders = generate_survey_data.delivered_orders(dsn)
    found = generate_survey_data.generate(
        orders,
        seed=seed,
        responses=responses,
        until=None if until is None else until.replace(tzinfo=UTC),
    )
    summary: dict[str, object] = {"delivered_orders": len(orders), "responses": len(found)}
    if to == POSTGRES:
        summary |= asdict(surveys.insert(dsn, found))
    else:
        _write(found, to)
    if json and to != "-":
        console.print_json(summary)
        return
    told = f"{len(found):,} answers about {len(orders):,} delivered orders to {to}"
    if to == POSTGRES:
        told += f": {summary['inserted']:,} new, {summary['already_there']:,} already there"
    console.say(f"{told}.")


def _write(found: list[SurveyResponse], to: str) -> None:
    if to == "-":
        sys.stdout.buffer.writelines(surveys.write_lines(found))
        sys.stdout.buffer.flush()
        return
    with written(Path(to)) as file:
        file.writelines(surveys.write_lines(found))


@app.command()
def load(
    from_: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="A file with one answer a line.")
    ],
    *,
    json: JsonOption = False,
) -> None:
    """Insert the answers of a file, all or none. Those that are there already change nothing."""
    settings = load_settings()
    log_to(settings.home)
    result = surveys.insert(Stack(settings).require_postgres_dsn(), surveys.read_file(from_))
    if json:
        console.print_json(asdict(result))
    else:
        console.say(f"{result.inserted:,} answers are new, {result.already_there:,} were there.")


@app.command()
def verify(
    *,
    at_least: Annotated[int, typer.Option(min=0, help="How many answers there must be.")] = 1,
    max_age_hours: Annotated[
        float | None,
        typer.Option(min=0, help="How long ago the newest may have been inserted, in hours."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Look whether the answers are there, keep their constraints, and are fresh.

    What does not hold is named in words, and gives exit code 1.
    """
    settings = load_settings()
    log_to(settings.home)
    result = surveys.verify(
        Stack(settings).require_postgres_dsn(),
        at_least=at_least,
        max_age=None if max_age_hours is None else timedelta(hours=max_age_hours),
    )
    if json:
        console.print_json({"ok": not result.problems, **asdict(result)})
    else:
        console.say(
            f"{result.response_count:,} answers; the newest is of {result.newest_responded_at} "
            f"and was inserted at {result.newest_loaded_at}."
        )
    if result.problems:
        raise CheckFailedError(
            f"{surveys.TABLE}: {'; '.join(result.problems)}.",
            "Load what is missing with `pbm generate surveys` or `pbm surveys load`, or correct "
            "the rows.",
        )
