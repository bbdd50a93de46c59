{{ config(materialized='view') }}

with

events as {{ inlined() }}(

    select * from {{ ref('stg_order_events') }}

),

arriving_events as {{ inlined() }}(

    select * from {{ ref('stg_arriving_order_events') }}

),

messages as {{ inlined() }}(

    select * from {{ ref('stg_order_messages') }}

),

tail as {{ inlined() }}(

    select * from messages
    where ingested_at > {{ tail_begins_after() | indent(8) }}

),

current_events as (

    select
        {%- for column in order_event_columns() %}
        events.{{ column }},
        {%- endfor %}
        false as is_live
    from events
    where
        -- an earlier copy that came since takes its place
        not exists (
            select 1
            from tail
            where
                tail.event_id = events.event_id
                and {{ comes_before('tail', 'events') | indent(16) }}
        )

    union all

    select
        {%- for column in order_event_columns() %}
        {{ column }},
        {%- endfor %}
        true as is_live
    from arriving_events

),

order_events as (

    select
        ---------- ids
        event_id,
        order_id,
        carrier_id,

        ---------- the event
        event_type,
        {{ event_stage('event_type') | indent(8) }} as stage,
        {{ stage_rank('event_type') | indent(8) }} as stage_rank,
        status,
        reject_code,
        exception_code,
        service_level,
        source_system,

        ---------- amounts
        temperature_c,
        minutes_out_of_range,

        ---------- timestamps
        event_timestamp,
        promised_delivery_at,
        delivered_at,
        publish_time,

        ---------- quality
        quality_flags,
        is_live
    from current_events

)

select * from order_events
