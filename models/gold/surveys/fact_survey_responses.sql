{{
    config(
        materialized='table',
        indexes=[
            {'columns': ['response_id'], 'unique': true},
            {'columns': ['order_id']},
            {'columns': ['response_date']},
        ],
        partition_by={
            'field': 'response_date',
            'data_type': 'date',
            'granularity': 'month',
        },
    )
}}

with

responses as (

    select * from {{ ref('stg_survey_responses') }}

),

orders as (

    select * from {{ ref('fact_order_lifecycle') }}

),

responses_with_orders as (

    select
        ---------- ids
        responses.response_id,
        responses.order_id,
        orders.ndc11,
        orders.pharmacy_id,
        orders.carrier_id,

        ---------- how it came
        responses.survey_channel,
        responses.survey_language,

        ---------- answers
        responses.likelihood_to_recommend,
        case
            when responses.likelihood_to_recommend >= 9 then 'promoter'
            when responses.likelihood_to_recommend >= 7 then 'passive'
            when responses.likelihood_to_recommend >= 0 then 'detractor'
        end as respondent_type,
        responses.overall_satisfaction,
        responses.overall_satisfaction >= 4 as is_satisfied,
        responses.delivery_timeliness,
        responses.staff_courtesy,
        responses.refill_ease,
        responses.order_communication,

        ---------- the order
        orders.order_id is not null as is_order_known,
        orders.is_on_time,
        orders.exception_count + orders.delivery_attempts_failed > 0
            as has_delivery_exception,
        orders.prior_auth_submitted_at is not null
        or orders.prior_auth_decided_at is not null as has_prior_authorization,
        orders.needed_intervention,

        ---------- timestamps
        orders.delivered_at,
        responses.invited_at,
        responses.responded_at,
        responses.response_date,
        cast(
            {{ hours_between('orders.delivered_at', 'responses.responded_at')
                | indent(12) }} as numeric(12, 4)
        ) as hours_delivered_to_responded,
        responses.loaded_at
    from responses
    left join orders
        on responses.order_id = orders.order_id

)

select * from responses_with_orders
