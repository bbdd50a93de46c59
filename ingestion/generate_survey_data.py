"""The survey simulator: what patients would have answered about the orders that reached them.

It reads the delivered orders of gold, where lateness, exceptions and prior authorisations are
defined once, and lets each patient answer or not. An answer depends on the seed and its order only:
the same seed gives an order the same answer in any run, with whatever other orders, so a run that
is repeated adds nothing but the answers about orders that were delivered since.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from statistics import NormalDist
from typing import Final, NamedTuple

from faker import Faker

from ingestion.simulator.settings import Dwell
from ingestion.simulator.survey_settings import Effects, SurveySettings
from ingestion.surveys import SurveyResponse
from pbm import warehouse
from pbm.errors import ConfigurationError, InputError

__all__ = ["DeliveredOrder", "delivered_orders", "generate"]

MAX_RESPONSES: Final = 10_000_000
_NORMAL: Final = NormalDist()
_PEOPLE: Final = 300

_DELIVERED: Final = """
select
    order_id,
    delivered_at,
    is_on_time is false,
    exception_count + delivery_attempts_failed > 0,
    prior_auth_submitted_at is not null or prior_auth_decided_at is not null
from pbm_gold.fact_order_lifecycle
where current_status = 'delivered' and delivered_at >= '2000-01-01'
order by order_id
"""


class DeliveredOrder(NamedTuple):
    """A delivered order, and what went wrong with it.

    Attributes:
        order_id: The order.
        delivered_at: When the parcel was handed over.
        is_late: After the promised time; false where nothing was promised.
        has_exception: The carrier reported an exception or a failed attempt.
        had_prior_authorization: A prior authorisation was asked for or decided.
    """

    order_id: str
    delivered_at: datetime
    is_late: bool
    has_exception: bool
    had_prior_authorization: bool


@dataclass(frozen=True)
class _Person:
    """Somebody who does not exist, for signing a comment."""

    name: str
    phone: str
    birth_date: str


# By language, then by whether the patient is content. English where a language has no words here.
_COMMENTS: Final = {
    "en": (
        (
            "It came much later than promised and nobody told me.",
            "I had to call three times to find out where my medicine was.",
            "The paperwork with my insurance took far too long.",
            "The box sat in the sun, I was worried about it.",
        ),
        (
            "Everything went well, thank you.",
            "The nurse on the phone was very kind.",
            "Easy to refill, and it came the day you said.",
            "No complaints at all.",
        ),
        "Please call {name} at {phone}, born {birth_date}.",
    ),
    "es": (
        ("Llegó tarde y nadie me avisó.", "Tuve que llamar varias veces."),
        ("Todo muy bien, gracias.", "Muy amables por teléfono."),
        "Llamen a {name}, {phone}, nacimiento {birth_date}.",
    ),
}


def delivered_orders(dsn: str) -> list[DeliveredOrder]:
    """Read the delivered orders of gold, by id.

    Args:
        dsn: The PostgreSQL warehouse.

    Raises:
        UnreachableError: The warehouse does not answer.
        ConfigurationError: Gold is not built yet.
        InputError: It holds no delivered order.
    """
    where = warehouse.describe(dsn)
    with warehouse.connect(dsn, role=warehouse.REPORTER) as connection:
        (table,) = connection.execute(
            "select to_regclass('pbm_gold.fact_order_lifecycle')"
        ).fetchone() or (None,)
        if table is None:
            raise ConfigurationError(
                f"{where} has no pbm_gold.fact_order_lifecycle: surveys are about its orders.",
                "Ingest orders and build gold first: `pbm ingest`, then `pbm build`.",
            )
        with warehouse.translated_errors(where):
            rows = connection.execute(_DELIVERED.encode()).fetchall()
    if not rows:
        raise InputError(
            f"No order in {where} is delivered: there is nothing to ask patients about.",
            "Generate orders over more days (--days), ingest them and build gold.",
        )
    return [DeliveredOrder(*row) for row in rows]  # type: ignore[arg-type]  # rows have no types


def generate(
    orders: Iterable[DeliveredOrder],
    *,
    seed: int = 0,
    responses: int | None = None,
    until: datetime | None = None,
    settings: SurveySettings | None = None,
) -> list[SurveyResponse]:
    """Let patients answer.

    Args:
        orders: The orders that reached them.
        seed: Any whole number from 0; another seed is another world.
        responses: How many orders are answered for: those whose patients are the most willing.
            If None, each answers or not by the response rate.
        until: Answers after this moment are not there yet; now if None.
        settings: The parameters of the model; the documented ones when left out.

    Returns:
        The answers, one at most for an order, by ``response_id``.

    Raises:
        InputError: A parameter is out of its range.
    """
    _check(seed, responses)
    settings = settings or SurveySettings()
    until = until or datetime.now(UTC)
    people = _people(seed)
    answers = []
    for order in orders:
        random = Random(f"{seed}:{order.order_id}")  # noqa: S311  a simulation keeps no secret
        # below 1, the patient answers; from there on, only those who are urged to
        reluctance = random.random() / _rate(order, settings)
        if responses is None and reluctance >= 1:
            continue
        answer = _answer(order, seed, random, people, settings)
        if answer.responded_at <= until:
            answers.append((reluctance, answer.response_id, answer))
    if responses is not None:
        answers = sorted(answers, key=lambda one: one[:2])[:responses]
    return sorted((answer for _, _, answer in answers), key=lambda one: one.response_id)


def _check(seed: int, responses: int | None) -> None:
    if isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise InputError(
            f"seed is {seed!r}, not a whole number from 0 to {2**63 - 1:,}.",
            "Give seed a value in that range.",
        )
    if responses is not None and not 1 <= responses <= MAX_RESPONSES:
        raise InputError(
            f"responses is {responses!r}, not a whole number from 1 to {MAX_RESPONSES:,}.",
            "Give responses a value in that range, or leave it out.",
        )


def _people(seed: int) -> Sequence[_Person]:
    faker = Faker("en_US", use_weighting=False)
    faker.seed_instance(seed)
    return [
        _Person(
            faker.name(),
            faker.numerify("(%##) 555-01##"),
            f"19{faker.random_int(30, 99)}-{faker.random_int(1, 12):02d}-"
            f"{faker.random_int(1, 28):02d}",
        )
        for _ in range(_PEOPLE)
    ]


def _troubles(order: DeliveredOrder, effects: Effects) -> list[float]:
    """The effects of what went wrong."""
    return [
        effect
        for applies, effect in (
            (order.is_late, effects.late),
            (order.has_exception, effects.excepted),
            (order.had_prior_authorization, effects.prior_authorized),
        )
        if applies
    ]


def _rate(order: DeliveredOrder, settings: SurveySettings) -> float:
    """The chance that a patient answers, above 0."""
    factor = math.prod(_troubles(order, settings.response_factors))
    return min(1.0, max(1e-9, settings.response_rate * factor))


def _normal(random: Random) -> float:
    """A standard normal value, cut at about four standard deviations."""
    return _NORMAL.inv_cdf(min(max(random.random(), 3e-5), 1 - 3e-5))


def _seconds(random: Random, dwell: Dwell) -> timedelta:
    seconds = dwell.median_hours * 3600 * math.exp(dwell.sigma * _normal(random))
    return timedelta(seconds=max(30, round(seconds)))


def _pick(random: Random, weights: dict[str, float]) -> str:
    return random.choices(list(weights), list(weights.values()))[0]


def _answer(
    order: DeliveredOrder,
    seed: int,
    random: Random,
    people: Sequence[_Person],
    settings: SurveySettings,
) -> SurveyResponse:
    invited_at = order.delivered_at + _seconds(random, settings.invitation)
    haste = math.prod(_troubles(order, settings.answer_factors))
    delay = settings.answer.model_copy(
        update={"median_hours": settings.answer.median_hours * haste}
    )
    responded_at = invited_at + _seconds(random, delay)
    language = _pick(random, settings.language_weights)
    channel = _pick(random, settings.channel_weights)

    mood = _normal(random)
    is_displeased = random.random() < settings.displeased_share
    spoilt = sum(_troubles(order, settings.recommend_effects))
    recommend = settings.recommend_mood - spoilt + settings.recommend_spread * mood
    likelihood = random.randint(0, 6) if is_displeased else _rounded(recommend, 0, 10)
    answers: dict[str, int | None] = {"likelihood_to_recommend": likelihood}
    for name, question in settings.questions.items():
        spoilt = sum(_troubles(order, question.effects)) + 2 * is_displeased
        own = settings.question_spread * (mood + _normal(random))
        answers[name] = _rounded(question.mood - spoilt + own, 1, 5)
    for name in answers:
        # a survey without any answer is no response: the first question is kept
        if random.random() < settings.skipped_share and name != "likelihood_to_recommend":
            answers[name] = None
    return SurveyResponse(
        response_id=f"SR-{sha256(f'{seed}:{order.order_id}'.encode()).hexdigest()[:20]}",
        order_id=order.order_id,
        invited_at=invited_at,
        responded_at=responded_at,
        survey_channel=channel,
        survey_language=language,
        comment=_comment(random, language, likelihood >= 7, people, settings),
        **answers,
    )


def _rounded(value: float, low: int, high: int) -> int:
    return min(high, max(low, math.floor(value + 0.5)))


def _comment(
    random: Random,
    language: str,
    is_content: bool,  # noqa: FBT001  a pure helper
    people: Sequence[_Person],
    settings: SurveySettings,
) -> str | None:
    has_comment, is_signed = (
        random.random() < settings.comment_share,
        random.random() < settings.signed_share,
    )
    if not has_comment:
        return None
    unhappy, happy, signature = _COMMENTS.get(language, _COMMENTS["en"])
    comment = random.choice(happy if is_content else unhappy)
    if is_signed:
        person = random.choice(people)
        comment += " " + signature.format(**vars(person))
    return comment
