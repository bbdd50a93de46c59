"""What simulated patients answer, and how files of answers are read."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import surveys
from ingestion.generate_survey_data import DeliveredOrder, generate
from ingestion.simulator.survey_settings import SurveySettings
from ingestion.surveys import SurveyResponse
from pbm.errors import InputError

DELIVERED_AT = datetime(2026, 2, 3, 15, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def orders(count: int, **troubles: bool) -> list[DeliveredOrder]:
    flags = {"is_late": False, "has_exception": False, "had_prior_authorization": False, **troubles}
    return [DeliveredOrder(f"ORD-{number}", DELIVERED_AT, **flags) for number in range(count)]


def net_promoter_score(answers: Sequence[SurveyResponse]) -> float:
    scores = [one.likelihood_to_recommend for one in answers]
    known = [score for score in scores if score is not None]
    net = sum(score >= 9 for score in known) - sum(score <= 6 for score in known)
    return 100 * net / len(known)


def test_an_answer_depends_on_its_seed_and_order_only() -> None:
    some, more = orders(300), orders(600)
    answers = generate(some, seed=4, until=LATER)
    assert generate(reversed(some), seed=4, until=LATER) == answers
    assert set(answers) < set(generate(more, seed=4, until=LATER))
    others = generate(some, seed=5, until=LATER)
    assert not {one.response_id for one in answers} & {one.response_id for one in others}


def test_as_many_answer_as_elsewhere_unless_a_number_is_asked_for() -> None:
    rate = SurveySettings().response_rate
    answers = generate(orders(8000), until=LATER)
    assert len(answers) == pytest.approx(8000 * rate, rel=0.06)
    assert len({one.response_id for one in answers}) == len(answers)
    few = generate(orders(8000), responses=100, until=LATER)
    assert len(few) == 100
    assert set(few) < set(answers), "the most willing answer first"
    assert len(generate(orders(50), responses=100, until=LATER)) == 50


def test_trouble_shows_in_rate_delay_and_scores() -> None:
    clean = generate(orders(6000), until=LATER)
    late = generate(orders(6000, is_late=True), until=LATER)
    authorised = generate(orders(6000, had_prior_authorization=True), until=LATER)
    excepted = generate(orders(6000, has_exception=True), until=LATER)
    assert len(late) > len(excepted) > len(clean) > len(authorised)

    def delay(answers: Sequence[SurveyResponse]) -> timedelta:
        return median(one.responded_at - one.invited_at for one in answers)  # type: ignore[type-var]

    assert delay(late) < delay(excepted) < delay(clean) < delay(authorised)
    assert net_promoter_score(clean) > net_promoter_score(authorised) > 70
    assert net_promoter_score(excepted) < net_promoter_score(authorised)
    assert net_promoter_score(late) < 20


# Late, excepted, authorised: how many of 5,286 that the order simulator delivered in 60 days.
USUAL_MIX = {
    (False, False, False): 4301,
    (False, False, True): 732,
    (True, True, False): 119,
    (True, False, False): 56,
    (False, True, False): 45,
    (True, True, True): 18,
    (False, True, True): 9,
    (True, False, True): 6,
}


def test_the_usual_mix_has_the_published_net_promoter_score() -> None:
    """NASP's 80."""
    troubles = [flags for flags, count in USUAL_MIX.items() for _ in range(3 * count)]
    mixed = [
        DeliveredOrder(f"ORD-{number}", DELIVERED_AT, *flags)
        for number, flags in enumerate(troubles)
    ]
    assert net_promoter_score(generate(mixed, until=LATER)) == pytest.approx(80, abs=2.5)


def test_comments_are_there_and_some_of_them_name_people() -> None:
    answers = generate(orders(4000), until=LATER)
    comments = [one.comment for one in answers if one.comment]
    assert 0.25 < len(comments) / len(answers) < 0.35
    signed = [comment for comment in comments if ") 555-01" in comment]
    assert 0.2 < len(signed) / len(comments) < 0.4


def test_what_is_not_answered_yet_is_not_there() -> None:
    until = DELIVERED_AT + timedelta(days=2)
    some, all_of_them = generate(orders(2000), until=until), generate(orders(2000), until=LATER)
    assert set(some) == {one for one in all_of_them if one.responded_at <= until}
    assert 0 < len(some) < len(all_of_them)


@given(
    st.integers(0, 2**63 - 1),
    st.builds(
        DeliveredOrder,
        st.just("ORD-1"),
        st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
)
def test_every_answer_is_one_that_the_table_takes(seed: int, order: DeliveredOrder) -> None:
    (answer,) = generate([order], seed=seed, responses=1, until=datetime(2100, 1, 1, tzinfo=UTC))
    assert answer.order_id == order.order_id
    assert order.delivered_at < answer.invited_at <= answer.responded_at
    assert answer.likelihood_to_recommend in range(11)
    for question in SurveySettings().questions:
        assert getattr(answer, question) in (None, 1, 2, 3, 4, 5)
    assert answer.comment is None or 1 <= len(answer.comment) <= 4000


@pytest.mark.parametrize(("name", "value"), [("seed", -1), ("responses", 0), ("responses", 10**8)])
def test_a_parameter_out_of_range_is_named(name: str, value: int) -> None:
    with pytest.raises(InputError, match=f"^{name} is {value}"):
        generate(orders(1), **{name: value})  # type: ignore[arg-type]


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    answers = generate(orders(200), until=LATER)
    file = tmp_path / "answers.jsonl"
    file.write_bytes(b"".join(surveys.write_lines(answers)) + b"\n")
    assert surveys.read_file(file) == answers


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"response_id": "a"', "one JSON object"),
        (b'["a"]', "one JSON object"),
        (b'{"response_id": "a", "mood": 1}', "one JSON object"),
        (b'{"response_id": "a"}', "invited_at must be a time"),
        (
            b'{"response_id":"a","invited_at":"2026-01-01T00:00:00Z","responded_at":"soon"}',
            "responded_at must be a time",
        ),
    ],
)
def test_a_bad_line_is_named_and_not_quoted(line: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_bytes(b"\n" + line + b"\n")
    with pytest.raises(InputError, match=words) as refused:
        surveys.read_file(file)
    assert "Line 2 of" in refused.value.problem
    assert "soon" not in refused.value.problem
    assert "mood" not in refused.value.problem
