{{
    config(
        materialized='table',
        indexes=[
            {'columns': ['order_id'], 'unique': true},
            {'columns': ['severity']},
        ],
    )
}}

with

lifecycles as (

    select * from {{ ref('fact_order_lifecycle') }}

),

events as {{ inlined() }}(

    select * from {{ ref('fact_order_events') }}

),

order_alerts as (

    {{ order_alerts(
        'lifecycles', 'events', latest_known_time('events')
    ) | indent }}

)

select * from order_alerts
