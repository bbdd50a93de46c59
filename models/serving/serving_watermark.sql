{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='watermark_id',
        on_schema_change='fail',
        full_refresh=false,
    )
}}

{#-
    Every model of silver and gold is named, so that their tests come first. To
    name them while dbt reads the project is enough, and all that a unit test,
    which has none of them, allows.
-#}
{%- for model_name in [
    'stg_arriving_order_events',
    'stg_dead_letter_orders',
    'stg_live_order_metrics',
    'stg_order_events',
    'stg_order_messages',
    'stg_replaced_order_events',
    'cleaned_orders_table',
    'dim_carriers',
    'dim_dates',
    'dim_drugs',
    'dim_patients',
    'dim_payers',
    'dim_pharmacies',
    'dim_reject_codes',
    'dim_stage_targets',
    'fact_order_events',
    'fact_order_lifecycle',
    'carrier_performance_daily',
    'daily_order_summary',
    'fulfillment_stage_daily',
    'ingestion_reconciliation',
    'order_alerts',
] if not execute -%}
    {%- do ref(model_name) -%}
{%- endfor -%}

with

events as (

    select * from {{ ref('stg_order_events') }}

),

reached as (

    select
        coalesce(max(built_at), {{ beginning_of_time() }}) as built_through,
        coalesce(max(ingested_at), {{ beginning_of_time() }})
            as ingested_through
    from events

),

watermark as (

    select
        'serving' as watermark_id,
        built_through,
        ingested_through,
        {{ run_start() }} as moved_at
    from reached
    {%- if not watermark_may_move() %}
    -- not every test was run: the row stays as it is
    where built_through is null
    {%- endif %}

)

select * from watermark
