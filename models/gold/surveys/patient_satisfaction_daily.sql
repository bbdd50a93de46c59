{{
    config(
        materialized='table',
        indexes=[
            {
                'columns': [
                    'response_date',
                    'window_days',
                    'dimension',
                    'dimension_value',
                ],
                'unique': true,
            },
        ],
        partition_by={
            'field': 'response_date',
            'data_type': 'date',
            'granularity': 'month',
        },
        cluster_by=['dimension', 'dimension_value'],
    )
}}

{%- set questions = [
    'likelihood_to_recommend',
    'overall_satisfaction',
    'delivery_timeliness',
    'staff_courtesy',
    'refill_ease',
    'order_communication',
] %}

with

responses as {{ inlined() }}(

    select * from {{ ref('fact_survey_responses') }}

),

orders as (

    select * from {{ ref('fact_order_lifecycle') }}

),

drugs as (

    select * from {{ ref('dim_drugs') }}

),

-- the deliveries of the longest window before the first answer, and later ones
counted_days as (

    select
        {{ days_before('min(response_date)', 90) }} as first_date,
        max(response_date) as last_date
    from responses

),

answered_orders as (

    select distinct order_id
    from responses
    where order_id is not null

),

deliveries as (

    select
        {{ utc_date('orders.delivered_at') }} as delivered_date,
        answered_orders.order_id is not null as is_answered,
        orders.carrier_id,
        orders.ndc11,
        orders.is_on_time,
        orders.needed_intervention
    from orders
    left join answered_orders
        on orders.order_id = answered_orders.order_id
    where orders.current_status = 'delivered'

),

deliveries_of_counted_days as (

    select deliveries.*
    from deliveries
    inner join counted_days
        on
            deliveries.delivered_date > counted_days.first_date
            and deliveries.delivered_date <= counted_days.last_date

),

answers_and_deliveries as (

    select
        response_date as counted_date,
        false as is_delivery,
        false as is_answered,
        carrier_id,
        ndc11,
        is_on_time,
        needed_intervention,
        response_id
        {%- for question in questions %},
        {{ question }}
        {%- endfor %}
    from responses

    union all

    select
        delivered_date as counted_date,
        true as is_delivery,
        is_answered,
        carrier_id,
        ndc11,
        is_on_time,
        needed_intervention,
        cast(null as {{ text_type() }}) as response_id
        {%- for question in questions %},
        cast(null as {{ whole_number_type() }}) as {{ question }}
        {%- endfor %}
    from deliveries_of_counted_days

),

counted as (

    select
        answers_and_deliveries.*,
        'all' as everything,
        coalesce(answers_and_deliveries.carrier_id, 'unknown') as carrier,
        coalesce(drugs.therapeutic_area, 'unknown') as drug_area,
        case
            when answers_and_deliveries.is_on_time then 'on_time'
            when not answers_and_deliveries.is_on_time then 'late'
            else 'unknown'
        end as lateness,
        case
            when answers_and_deliveries.needed_intervention
                then 'intervention'
            when not answers_and_deliveries.needed_intervention then 'clean'
            else 'unknown'
        end as intervention
    from answers_and_deliveries
    left join drugs
        on answers_and_deliveries.ndc11 = drugs.ndc11

),

cells as (

    {{ satisfaction_cells(
        {
            'all': 'everything',
            'carrier': 'carrier',
            'drug_area': 'drug_area',
            'lateness': 'lateness',
            'intervention': 'intervention',
        },
        has_deliveries=true,
    ) | indent }}

)

select * from cells
