"""Survey answers in PostgreSQL: what is refused, what is safe to repeat, who may read what."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingestion import surveys
from ingestion.surveys import Inserted, SurveyResponse
from pbm.errors import InputError
from tests.conftest import Platform, new_platform, run_pbm

INVITED_AT = datetime(2026, 2, 3, 15, tzinfo=UTC)
SECRET = "Call me, I am the one with the blue door"
GOOD = SurveyResponse(
    response_id="SR-1",
    order_id="ORD-1",
    invited_at=INVITED_AT,
    responded_at=INVITED_AT + timedelta(hours=3),
    survey_channel="sms",
    survey_language="en",
    likelihood_to_recommend=10,
    overall_satisfaction=5,
    comment=SECRET,
)
COUNT = "select count(*) from survey_data.survey_responses"


@pytest.fixture(scope="module")
def platform(services: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """An empty platform that the tests of this file share."""
    return new_platform(services, tmp_path_factory.mktemp("surveys"))


@pytest.fixture(autouse=True)
def _empty(platform: Platform) -> None:
    platform.execute("truncate survey_data.survey_responses")


def test_inserting_again_changes_nothing(platform: Platform) -> None:
    more = [replace(GOOD, response_id=f"SR-{number}") for number in range(50)]
    assert surveys.insert(platform.dsn, more[:20]) == Inserted(20, 0)
    before = platform.rows("select * from survey_data.survey_responses order by 1")
    again = [replace(one, overall_satisfaction=1) for one in more]
    assert surveys.insert(platform.dsn, again) == Inserted(30, 20)
    after = platform.rows("select * from survey_data.survey_responses order by 1")
    assert [row for row in after if row in before] == before
    assert surveys.insert(platform.dsn, []) == Inserted(0, 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"response_id": ""}, "response_id"),
        ({"response_id": "a b"}, "response_id"),
        ({"response_id": None}, "response_id"),
        ({"order_id": " "}, "order_id"),
        ({"order_id": "x" * 65}, "order_id"),
        ({"invited_at": None}, "invited_at"),
        ({"invited_at": INVITED_AT.replace(year=1999)}, "invited_at"),
        ({"responded_at": INVITED_AT - timedelta(seconds=1)}, "responded_at"),
        ({"responded_at": None}, "responded_at"),
        ({"responded_at": "soon"}, "responded_at"),
        ({"survey_channel": "fax"}, "survey_channel"),
        ({"survey_language": "English"}, "survey_language"),
        ({"likelihood_to_recommend": 11}, "likelihood_to_recommend"),
        ({"likelihood_to_recommend": -1}, "likelihood_to_recommend"),
        ({"overall_satisfaction": 0}, "overall_satisfaction"),
        ({"delivery_timeliness": 6}, "delivery_timeliness"),
        ({"staff_courtesy": 2**40}, "staff_courtesy"),
        ({"refill_ease": 6}, "refill_ease"),
        ({"order_communication": "good"}, "order_communication"),
        ({"likelihood_to_recommend": None, "overall_satisfaction": None}, "answers"),
        ({"comment": ""}, "comment"),
        ({"comment": "x" * 4001}, "comment"),
        ({"comment": "a\0b"}, "comment"),
    ],
)
def test_a_bad_row_is_refused_by_the_name_of_its_field(
    changes: dict[str, Any], field: str, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    """With all that came with it; no value but the key is told."""
    caplog.set_level(logging.DEBUG)
    bad = replace(GOOD, **{"response_id": "SR-bad", **changes})
    with pytest.raises(InputError) as refused:
        surveys.insert(platform.dsn, [replace(GOOD, response_id="SR-0"), bad, GOOD])
    named = "SR-bad" if "response_id" not in changes else "without a good id"
    assert refused.value.problem.startswith(f"The survey response {named} was refused: {field} ")
    assert surveys.WANTED[field] in refused.value.problem
    assert platform.value(COUNT) == 0
    log = Path(platform.value("select setting from pg_settings where name = 'data_directory'"))
    for told in (
        repr(refused.value),
        refused.value.hint,
        caplog.text,
        str(refused.value.__cause__),
    ):
        assert SECRET not in told
    assert SECRET not in (log.parent / "postgres.log").read_text()


def test_every_field_has_a_constraint_and_words_for_it(platform: Platform) -> None:
    names = platform.rows(
        "select conname from pg_constraint where contype = 'c'"
        " and conrelid = 'survey_data.survey_responses'::regclass"
    )
    assert {name for (name,) in names} == {
        f"survey_responses_{field}_check" for field in surveys.WANTED
    }
    assert set(surveys.WANTED) == {*surveys.COLUMNS, "answers"}


def test_verification_names_what_is_wrong(platform: Platform) -> None:
    assert surveys.verify(platform.dsn, at_least=0).problems == ()
    assert "should be 1" in surveys.verify(platform.dsn).problems[0]
    surveys.insert(platform.dsn, [GOOD])
    fine = surveys.verify(platform.dsn, max_age=timedelta(hours=1))
    assert (fine.response_count, fine.problems, fine.violations) == (1, (), {})
    assert fine.newest_responded_at == GOOD.responded_at
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    (stale,) = surveys.verify(platform.dsn, max_age=timedelta(hours=1), now=tomorrow).problems
    assert "newest row was inserted" in stale
    early = surveys.verify(platform.dsn, now=GOOD.invited_at).problems
    assert early == ("1 answers are from the future",)

    rule = "check (refill_ease between 1 and 5)"
    platform.execute(
        "alter table survey_data.survey_responses"
        " drop constraint survey_responses_refill_ease_check"
    )
    assert surveys.verify(platform.dsn).problems == ("the table has no constraint on refill_ease",)
    platform.execute("update survey_data.survey_responses set refill_ease = 9")
    platform.execute(
        "alter table survey_data.survey_responses"
        f" add constraint survey_responses_refill_ease_check {rule} not valid"
    )
    broken = surveys.verify(platform.dsn)
    assert broken.violations == {"refill_ease": 1}
    assert "1 rows break the rule that refill_ease must be" in broken.problems[0]


def test_the_transformer_may_read_every_column_but_the_comment(platform: Platform) -> None:
    surveys.insert(platform.dsn, [GOOD])
    readable = [*(column for column in surveys.COLUMNS if column != "comment"), "loaded_at"]
    with psycopg.connect(platform.dsn, autocommit=True) as connection:
        connection.execute("set role pbm_transformer")
        names = ", ".join(readable)
        query = f"select {names} from survey_data.survey_responses".encode()
        assert connection.execute(query).fetchone()
        for column in ("comment", "*", "survey_responses::text"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select {column} from survey_data.survey_responses".encode())
        connection.execute("set role pbm_reporter")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select response_id from survey_data.survey_responses")


def test_the_commands_say_what_to_do(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_bytes(b"".join(surveys.write_lines([GOOD, replace(GOOD, response_id="SR-2")])))
    loaded = json.loads(platform.pbm("surveys", "load", "--from", str(file), "--json").stdout)
    assert loaded == {"inserted": 2, "already_there": 0}
    seen = json.loads(platform.pbm("surveys", "verify", "--max-age-hours", "1", "--json").stdout)
    assert seen["ok"] is True
    assert seen["response_count"] == 2
    few = run_pbm("surveys", "verify", "--at-least", "3", env=platform.env)
    assert few.returncode == 1
    assert "2 rows are there, and there should be 3 at least" in few.stderr
    none_yet = run_pbm("generate", "surveys", "--responses", "5", env=platform.env)
    assert none_yet.returncode == 5
    assert "pbm build" in none_yet.stderr
