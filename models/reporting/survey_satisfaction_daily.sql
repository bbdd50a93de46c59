{{ config(materialized='view') }}

with

responses as (

    select * from {{ ref('stg_survey_responses') }}

),

counted as (

    select
        *,
        response_date as counted_date,
        'all' as everything
    from responses

),

cells as (

    {{ satisfaction_cells(
        {
            'all': 'everything',
            'channel': 'survey_channel',
            'language': 'survey_language',
        },
        has_deliveries=false,
    ) | indent }}

)

select * from cells
