"""Survey responses on their way into PostgreSQL: files, inserting, and what holds afterwards.

A comment may hold whatever a patient writes. It goes into its column and nowhere else: no error,
log or count here quotes it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from pydantic import TypeAdapter, ValidationError

from pbm import warehouse
from pbm.errors import InputError

TABLE: Final = "survey_data.survey_responses"
_CONSTRAINT: Final = re.compile(r"^survey_responses_(\w+)_check$")

WANTED: Final = {
    "response_id": "must be 1 to 64 letters, digits, hyphens or underscores",
    "order_id": "must be 1 to 64 characters that are not all blank, or be left out",
    "invited_at": "must be a time from 2000-01-01 on",
    "responded_at": "must be a time that is not before invited_at",
    "survey_channel": "must be one of sms, email, phone, web, mail",
    "survey_language": "must be a language of two small letters, such as en",
    "likelihood_to_recommend": "must be a whole number from 0 to 10, or be left out",
    "overall_satisfaction": "must be a whole number from 1 to 5, or be left out",
    "delivery_timeliness": "must be a whole number from 1 to 5, or be left out",
    "staff_courtesy": "must be a whole number from 1 to 5, or be left out",
    "refill_ease": "must be a whole number from 1 to 5, or be left out",
    "order_communication": "must be a whole number from 1 to 5, or be left out",
    "answers": "must be there: at least one question needs one",
    "comment": "must be 1 to 4,000 characters without U+0000, or be left out",
}
"""What the table's constraints ask of each field, in words. ``answers`` is all questions."""


@dataclass(frozen=True)
class SurveyResponse:
    """One answer, as a row of ``survey_data.survey_responses``.

    Attributes:
        response_id: Key.
        order_id: The order that it is about, or None.
        invited_at: When the patient was asked, with an offset.
        responded_at: When the answer came, with an offset.
        survey_channel: ``sms``, ``email``, ``phone``, ``web`` or ``mail``.
        survey_language: Two letters by ISO 639-1.
        likelihood_to_recommend: 0 to 10; None where the question was skipped.
        overall_satisfaction: 1 to 5, as are all that follow; None where it was skipped.
        delivery_timeliness: The delivery came when it was needed.
        staff_courtesy: How the patient was treated.
        refill_ease: How easy the refill was.
        order_communication: How well the patient was told where the order was.
        comment: Free text, or None. It may identify the patient.
    """

    response_id: str
    order_id: str | None
    invited_at: datetime
    responded_at: datetime
    survey_channel: str
    survey_language: str
    likelihood_to_recommend: int | None = None
    overall_satisfaction: int | None = None
    delivery_timeliness: int | None = None
    staff_courtesy: int | None = None
    refill_ease: int | None = None
    order_communication: int | None = None
    comment: str | None = None


COLUMNS: Final = tuple(field.name for field in fields(SurveyResponse))


@dataclass(frozen=True)
class Inserted:
    """What became of some answers.

    Attributes:
        inserted: Rows that are new.
        already_there: Those whose ``response_id`` was there before.
    """

    inserted: int
    already_there: int


def insert(dsn: str, responses: Sequence[SurveyResponse]) -> Inserted:
    """Insert answers, all or none; those whose ``response_id`` is there change nothing.

    Args:
        dsn: The PostgreSQL server that holds the surveys.
        responses: The answers.

    Raises:
        InputError: A row is refused by a constraint; the error names the field and the
            ``response_id``, never another value.
        UnreachableError: The server does not answer.
        ConfigurationError: The table is missing.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    marks = sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS))
    statement = sql.SQL(
        "insert into survey_data.survey_responses ({}) values ({})"
        " on conflict (response_id) do nothing"
    ).format(names, marks)
    rows = [tuple(getattr(one, name) for name in COLUMNS) for one in responses]
    with (
        warehouse.connect(dsn, role=warehouse.LOADER) as connection,
        warehouse.translated_errors(warehouse.describe(dsn)),
    ):
        try:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(statement, rows)
                inserted = cursor.rowcount
        except (psycopg.IntegrityError, psycopg.DataError):
            # which of them it was is known only by trying each
            for row in rows:
                _try(connection, statement, row)
            raise
    return Inserted(inserted, len(rows) - inserted)


def _try(
    connection: psycopg.Connection[tuple[object, ...]],
    statement: sql.Composed,
    row: tuple[object, ...],
) -> None:
    """Insert one row and take it back.

    Raises:
        InputError: It is refused.
    """
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement, row)
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        # its text would quote the row
        raise _refusal(row[0], _field(error, row)) from None


def _field(error: psycopg.Error, row: tuple[object, ...]) -> str | None:
    """The field that a refused row is refused for."""
    if error.diag.column_name:
        return error.diag.column_name
    found = _CONSTRAINT.match(error.diag.constraint_name or "")
    if found:
        return found[1]
    # of a value that no column of its type can hold PostgreSQL does not say whose it is
    unfit = [name for name, value in zip(COLUMNS, row, strict=True) if _is_unfit(name, value)]
    return unfit[0] if unfit else None


def _is_unfit(name: str, value: object) -> bool:
    if value is None:
        return False
    if name.endswith("_at"):
        return not isinstance(value, datetime)
    if name in ("response_id", "order_id", "survey_channel", "survey_language", "comment"):
        return not isinstance(value, str) or "\0" in value
    return not isinstance(value, int) or not -(2**31) <= value < 2**31


def _refusal(response_id: object, field: str | None) -> InputError:
    is_good = isinstance(response_id, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", response_id)
    named = response_id if is_good else "without a good id"
    what = (
        f"{field} {WANTED.get(field, 'is not what its column takes')}"
        if field
        else ("a value is not what its column takes")
    )
    return InputError(
        f"The survey response {named} was refused: {what}.",
        "Nothing was inserted. Correct the response and insert all of them again: those that are "
        "there already change nothing.",
    )


# ---------------------------------------------------------------------------- files


def write_lines(responses: Iterable[SurveyResponse]) -> Iterator[bytes]:
    """Write each answer as one line of JSON; what was left out is left out."""
    for one in responses:
        plain = {name: value for name, value in asdict(one).items() if value is not None}
        yield json.dumps(plain, ensure_ascii=False, default=_as_text).encode() + b"\n"


def _as_text(value: object) -> str:
    assert isinstance(value, datetime)
    return value.astimezone(UTC).isoformat()


def read_file(path: Path) -> list[SurveyResponse]:
    """Read answers from a file with one JSON object a line.

    Raises:
        InputError: The file cannot be read, or a line is no answer; the error names the line and
            the field.
    """
    adapter = TypeAdapter(SurveyResponse)
    found = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(
            f"The file {path} cannot be read: {error.strerror}.", "Name a file that is there."
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(adapter.validate_python({"order_id": None, **_object(line)}))
        except ValidationError as error:
            field = str(error.errors(include_input=False)[0]["loc"][0])
            what = f"{field} {WANTED.get(field, 'is not a field of a survey response')}"
            raise _bad_line(path, number, what) from None
        except (ValueError, TypeError):
            raise _bad_line(path, number, "it must be one JSON object") from None
    return found


def _object(line: bytes) -> dict[str, object]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise TypeError
    unknown = value.keys() - set(COLUMNS)
    if unknown:
        raise TypeError
    return value


def _bad_line(path: Path, number: int, what: str) -> InputError:
    return InputError(
        f"Line {number:,} of {path} is no survey response: {what}.",
        "Correct the line and read the file again.",
    )


# --------------------------------------------------------------------- verification


@dataclass(frozen=True)
class Verification:
    """What the table of answers holds, and what is wrong with it.

    Attributes:
        response_count: Rows.
        newest_responded_at: Time of the newest answer, or None.
        newest_loaded_at: When the newest row was inserted, or None.
        violations: Rows that break a constraint, by the field that it names; only broken ones.
        problems: What is wrong, in words; empty when all is well.
    """

    response_count: int
    newest_responded_at: datetime | None
    newest_loaded_at: datetime | None
    violations: dict[str, int]
    problems: tuple[str, ...]


def verify(
    dsn: str, *, at_least: int = 1, max_age: timedelta | None = None, now: datetime | None = None
) -> Verification:
    """Look whether the answers are there, keep their constraints, and are fresh.

    Args:
        dsn: The PostgreSQL server that holds the surveys.
        at_least: How many rows there must be.
        max_age: How long ago the newest row may have been inserted; None for any time.
        now: The moment to look from; the clock's if None.

    Raises:
        UnreachableError: The server does not answer.
        ConfigurationError: The table is missing.
    """
    now = now or datetime.now(UTC)
    with (
        warehouse.connect(dsn, role=warehouse.LOADER) as connection,
        warehouse.translated_errors(warehouse.describe(dsn)),
    ):
        row = connection.execute(
            "select count(*), max(responded_at), max(loaded_at),"
            " count(*) filter (where responded_at > %s) from survey_data.survey_responses",
            (now,),
        ).fetchone()
        assert row is not None
        count, responded_at, loaded_at, in_future = row
        # asked anew, because a constraint may have been added without looking at old rows
        rules = {
            found[1]: str(rule)
            for name, rule in connection.execute(
                "select conname, pg_get_expr(conbin, conrelid) from pg_constraint"
                " where conrelid = 'survey_data.survey_responses'::regclass and contype = 'c'"
            )
            if (found := _CONSTRAINT.match(str(name)))
        }
        violations = {}
        for field, rule in rules.items():
            broken = connection.execute(
                f"select count(*) from survey_data.survey_responses where not ({rule})".encode()  # noqa: S608  the table's own rule
            ).fetchone()
            if broken is not None and broken[0]:
                violations[field] = int(str(broken[0]))
        has_key = connection.execute(
            "select 1 from pg_constraint"
            " where conrelid = 'survey_data.survey_responses'::regclass and contype = 'p'"
        ).fetchone()
    assert isinstance(count, int)
    problems = [
        f"{rows:,} rows break the rule that {field} {WANTED.get(field, 'is right')}"
        for field, rows in sorted(violations.items())
    ]
    missing = sorted(set(WANTED) - set(rules))
    if missing:
        problems.append(f"the table has no constraint on {', '.join(missing)}")
    if has_key is None:
        problems.append("the table has no primary key")
    if count < at_least:
        problems.append(f"{count:,} rows are there, and there should be {at_least:,} at least")
    if in_future:
        problems.append(f"{in_future:,} answers are from the future")
    if max_age is not None and (not isinstance(loaded_at, datetime) or now - loaded_at > max_age):
        problems.append(
            f"the newest row was inserted {loaded_at or 'never'}, more than {max_age} ago"
        )
    return Verification(
        response_count=count,
        newest_responded_at=responded_at if isinstance(responded_at, datetime) else None,
        newest_loaded_at=loaded_at if isinstance(loaded_at, datetime) else None,
        violations=violations,
        problems=tuple(problems),
    )
