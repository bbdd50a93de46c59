"""Survey answers: generate, insert, verify, then build and test their models."""

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, chain

from orchestration import generator
from orchestration.assets import GOLD, SURVEYS
from orchestration.defaults import pipeline
from orchestration.layers import Layer
from orchestration.pbm_command import PbmOperator
from orchestration.transformations import transform

with pipeline(
    "survey_data_ingestion_pipeline",
    "Answers of patients whose orders were delivered, to PostgreSQL and on to gold.",
    [GOLD],
    deadline=timedelta(hours=2),
    params={
        "seed": Param(0, type="integer", description="The same gives an order the same answer."),
    },
):
    generate_survey_data = PbmOperator(
        task_id="generate_survey_data", arguments=generator.survey_arguments()
    )
    answers = generator.surveys_file()
    insert_survey_responses = PbmOperator(
        task_id="insert_survey_responses",
        arguments=["surveys", "load", "--from", answers],
        then_remove=answers,
    )
    verify_survey_responses = PbmOperator(
        task_id="verify_survey_responses",
        arguments=["surveys", "verify", "--max-age-hours", "24"],
    )
    transform_surveys = transform("transform_surveys", Layer.SURVEYS)
    publish_surveys = EmptyOperator(task_id="publish_surveys", outlets=[SURVEYS])

    chain(
        generate_survey_data,
        insert_survey_responses,
        verify_survey_responses,
        transform_surveys,
        publish_surveys,
    )
