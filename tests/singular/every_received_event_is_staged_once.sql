-- Nothing that ingestion accepted is lost on the way to silver, nothing is
-- there twice, and nothing is there that was never received. What came in
-- after silver was last written is the next build's work.
{%- set built_through = tested_through('built_through') %}
{%- set ingested_through = tested_through('ingested_through') %}
with

received as (

    select distinct event_id
    from {{ source('pbm_bronze', 'raw_orders') }}
    where
        ingested_at < (
            select max(events.built_at)
            from {{ ref('stg_order_events') }} as events
        )
        {%- if ingested_through %}
        and ingested_at > {{ ingested_through }}
        {%- endif %}

),

staged as (

    select event_id
    from {{ ref('stg_order_events') }}
    {%- if built_through %}
    where built_at > {{ built_through }}
    {%- endif %}

),

counted as (

    select
        event_id,
        0 as received_count,
        count(*) as staged_count
    from staged
    group by event_id
    having count(*) > 1

),

lost as (

    select
        received.event_id,
        1 as received_count,
        0 as staged_count
    from received
    left join {{ ref('stg_order_events') }} as events
        on received.event_id = events.event_id
    where events.event_id is null

),

invented as (

    select
        staged.event_id,
        0 as received_count,
        1 as staged_count
    from staged
    left join {{ source('pbm_bronze', 'raw_orders') }} as messages
        on staged.event_id = messages.event_id
    where messages.event_id is null

)

select * from counted

union all

select * from lost

union all

select * from invented
