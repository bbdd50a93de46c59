"""Every number that shapes the simulated survey, with its unit and where it comes from.

A description that ends in "Source: ..." was published by somebody else; "Illustrative, ours" is a
guess that makes the simulation plausible and must never be quoted as a fact about pharmacies.
"""

from pydantic import BaseModel, ConfigDict, Field

from ingestion.simulator.settings import Dwell, Share, Weights


class Effects(BaseModel):
    """What went wrong with an order, and how much each of it changes something.

    Attributes:
        late: The parcel came after the promised time.
        excepted: Its carrier reported an exception or a failed attempt.
        prior_authorized: It needed a prior authorisation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    late: float
    excepted: float
    prior_authorized: float


class Question(BaseModel):
    """How one question from 1 to 5 is answered: by a mood that troubles spoil.

    Attributes:
        mood: Mean of the answer before rounding where nothing went wrong.
        effects: What each trouble takes off it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mood: float
    effects: Effects


class SurveySettings(BaseModel):
    """The parameters of the survey model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    response_rate: Share = Field(
        default=0.287,
        description="Delivered orders without trouble that are answered for. Source: PMC10725249 "
        "(28.7 % of one hospital's users of home delivery; weak evidence).",
    )
    response_factors: Effects = Field(
        default=Effects(late=1.25, excepted=1.1, prior_authorized=0.93),
        description="Factors on the response rate: the annoyed answer more often, those worn out "
        "by paperwork less. Illustrative, ours.",
    )
    invitation: Dwell = Field(
        default=Dwell(median_hours=24, sigma=0.25),
        description="From the delivery to the invitation. Illustrative, ours.",
    )
    answer: Dwell = Field(
        default=Dwell(median_hours=20, sigma=1.1),
        description="From the invitation to the answer. Illustrative, ours.",
    )
    answer_factors: Effects = Field(
        default=Effects(late=0.6, excepted=0.8, prior_authorized=1.1),
        description="Factors on the time to the answer: complaints are quick. Illustrative, ours.",
    )
    recommend_mood: float = Field(
        default=10.15,
        description="Mean of the likelihood to recommend before rounding and cutting at 0 and 10, "
        "where nothing went wrong: with the effects below, the simulator's usual mix of orders has "
        "an NPS of about 80. Source of the 80: NASP, specialty pharmacies, 17,477 respondents, "
        "2022. How it splits by trouble is illustrative, ours.",
    )
    recommend_spread: float = Field(
        default=1.3,
        gt=0,
        description="Standard deviation of the same from patient to patient. Illustrative, ours.",
    )
    recommend_effects: Effects = Field(
        default=Effects(late=2.6, excepted=0.9, prior_authorized=0.45),
        description="What each trouble takes off the likelihood to recommend. Illustrative, ours.",
    )
    displeased_share: Share = Field(
        default=0.02,
        description="Answers from 0 to 6 whatever happened to the order. Illustrative, ours.",
    )
    questions: dict[str, Question] = Field(
        default={
            "overall_satisfaction": Question(
                mood=4.75, effects=Effects(late=1.1, excepted=0.4, prior_authorized=0.25)
            ),
            "delivery_timeliness": Question(
                mood=4.8, effects=Effects(late=2.0, excepted=0.5, prior_authorized=0.1)
            ),
            "staff_courtesy": Question(
                mood=4.85, effects=Effects(late=0.3, excepted=0.1, prior_authorized=0.1)
            ),
            "refill_ease": Question(
                mood=4.6, effects=Effects(late=0.3, excepted=0.1, prior_authorized=0.7)
            ),
            "order_communication": Question(
                mood=4.5, effects=Effects(late=0.9, excepted=0.8, prior_authorized=0.4)
            ),
        },
        description="The questions from 1 to 5. Illustrative, ours.",
    )
    question_spread: float = Field(
        default=0.45,
        gt=0,
        description="Standard deviation of an answer from 1 to 5 beside the patient's mood. "
        "Illustrative, ours.",
    )
    skipped_share: Share = Field(
        default=0.03, description="Answers left out, of each question. Illustrative, ours."
    )
    channel_weights: Weights = Field(
        default={"sms": 0.45, "email": 0.33, "phone": 0.12, "web": 0.08, "mail": 0.02},
        description="How answers come in. Illustrative, ours.",
    )
    language_weights: Weights = Field(
        default={"en": 0.90, "es": 0.08, "zh": 0.01, "vi": 0.01},
        description="Languages of the answers. Illustrative, ours.",
    )
    comment_share: Share = Field(
        default=0.3, description="Answers with a comment. Illustrative, ours."
    )
    signed_share: Share = Field(
        default=0.3,
        description="Comments in which patients name themselves and their phone, as they do in any "
        "free text. Illustrative, ours.",
    )
