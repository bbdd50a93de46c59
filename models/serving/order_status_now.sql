{{ config(materialized='view') }}

with

events as {{ inlined() }}(

    select * from {{ ref('stg_order_events') }}

),

messages as {{ inlined() }}(

    select * from {{ ref('stg_order_messages') }}

),

arriving_events as (

    select * from {{ ref('stg_arriving_order_events') }}

),

built_orders as (

    select * from {{ ref('fact_order_lifecycle') }}

),

tail as {{ inlined() }}(

    select * from messages
    where ingested_at > {{ tail_begins_after() | indent(8) }}

),

changed_events as {{ inlined() }}(

    -- gold may lack what silver has read since: a build that failed, or half
    select
        order_id,
        other_order_ids
    from events
    where
        built_at > coalesce(
            {{ newest(ref('serving_watermark'), 'built_through') }},
            {{ beginning_of_time() }}
        )

),

touched_orders as {{ inlined() }}(

    select tail.order_id
    from tail
    where
        not exists (
            select 1
            from events
            where
                events.event_id = tail.event_id
                and (
                    events.message_id = tail.message_id
                    or {{ comes_before('events', 'tail') | indent(20) }}
                )
        )

    union all

    -- an earlier copy takes an event away from the order that had it
    select events.order_id
    from events
    inner join tail
        on events.event_id = tail.event_id
    where {{ comes_before('tail', 'events') | indent(8) }}

    union all

    select order_id from changed_events

    union all

    select element.value as order_id
    from {{ unnest_json_strings('changed_events', 'other_order_ids')
        | indent }}

),

current_events as (

    select
        {%- for column in order_event_columns() %}
        events.{{ column }},
        {%- endfor %}
        events.built_at
    from events
    where
        events.order_id in (
            select touched_orders.order_id from touched_orders
        )
        and not exists (
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
        cast(null as {{ timestamp_type() }}) as built_at
    from arriving_events

),

recomputed_orders as (

    {{ order_milestones('current_events') | indent }}

),

live_orders as (

    {{ order_lifecycle('recomputed_orders') | indent }}

),

untouched_orders as (

    select built_orders.*
    from built_orders
    left join touched_orders
        on built_orders.order_id = touched_orders.order_id
    where touched_orders.order_id is null

),

orders as (

    select
        *,
        false as is_live
    from untouched_orders

    union all

    select
        *,
        true as is_live
    from live_orders

)

select * from orders
