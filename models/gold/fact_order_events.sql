{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='event_id',
        on_schema_change='fail',
        indexes=[
            {'columns': ['event_id'], 'unique': true},
            {'columns': ['order_id']},
            {'columns': ['source_built_at']},
        ],
        partition_by={
            'field': 'event_timestamp',
            'data_type': 'timestamp',
            'granularity': 'month',
        },
        cluster_by=['order_id', 'event_id'],
    )
}}

with

events as (

    select * from {{ ref('stg_order_events') }}
    {%- if is_incremental() %}
    -- an event whose earlier copy took its place was built again, and is new
    where
        built_at > coalesce(
            {{ newest(this, 'source_built_at') }},
            {{ beginning_of_time() }}
        )
    {%- endif %}

),

order_events as (

    select
        ---------- ids
        event_id,
        order_id,
        payer_id,
        pharmacy_id,
        carrier_id,

        ---------- the event
        event_type,
        {{ event_stage('event_type') | indent(8) }} as stage,
        {{ stage_rank('event_type') | indent(8) }} as stage_rank,
        status,
        reject_code,
        exception_code,
        service_level,
        lot_number,
        source_system,

        ---------- amounts
        copay_amount,
        plan_paid_amount,
        temperature_c,
        minutes_out_of_range,

        ---------- booleans
        cold_chain,

        ---------- dates and timestamps
        {{ utc_date('event_timestamp') }} as event_date,
        event_timestamp,
        promised_delivery_at,
        delivered_at,
        publish_time,

        ---------- quality
        quality_flags,
        built_at as source_built_at
    from events

)

select * from order_events
