{{ config(materialized='view') }}

{#- Where batch ends and live begins. Nothing is batch before the first build. -#}
{%- set ingested_through -%}
coalesce(
    {{ newest(ref('serving_watermark'), 'ingested_through') }},
    {{ beginning_of_time() }}
)
{%- endset -%}

with

events as {{ inlined() }}(

    select * from {{ ref('stg_order_events') }}

),

replaced_events as (

    select * from {{ ref('stg_replaced_order_events') }}

),

panes as (

    select * from {{ ref('stg_live_order_metrics') }}

),

replaced_since as (

    -- panes after the watermark take these events out of the minutes where
    -- they counted: batch has to have them there, though silver has moved them
    select
        *,
        row_number() over (
            partition by event_id
            order by publish_time asc, {{ by_code_point('message_id') }} asc
        ) as copy_number
    from replaced_events
    where
        replacement_ingested_at > {{ ingested_through | indent(8) }}
        and ingested_at <= {{ ingested_through | indent(8) }}

),

batch_events as (

    select
        publish_minute as window_start,
        event_type,
        state,
        status
    from events
    where ingested_at <= {{ ingested_through | indent(8) }}

    union all

    select
        {{ utc_start_of('minute', 'publish_time') }} as window_start,
        event_type,
        state,
        status
    from replaced_since
    where copy_number = 1

),

batch_minutes as (

    select
        window_start,
        event_type,
        state,
        status,
        count(*) as event_count,
        false as is_live
    from batch_events
    group by
        window_start,
        event_type,
        state,
        status

),

live_minutes as (

    select
        window_start,
        event_type,
        state,
        status,
        cast(sum(panes.event_count) as {{ whole_number_type() }}) as event_count,
        true as is_live
    from panes
    where emitted_at > {{ ingested_through | indent(8) }}
    group by
        window_start,
        event_type,
        state,
        status
    -- qualified, or BigQuery takes it for the sum that bears the same name
    having sum(panes.event_count) != 0

),

activity as (

    select * from batch_minutes

    union all

    select * from live_minutes

)

select * from activity
