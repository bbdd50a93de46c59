{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='order_id',
        on_schema_change='fail',
        indexes=[
            {'columns': ['order_id'], 'unique': true},
            {'columns': ['source_built_at']},
        ],
        partition_by={
            'field': 'placed_at',
            'data_type': 'timestamp',
            'granularity': 'month',
        },
        cluster_by=['order_id'],
        pre_hook='{{ delete_orders_without_events() }}',
    )
}}

with

events as {{ inlined() }}(

    select * from {{ ref('stg_order_events') }}

),
{%- if is_incremental() %}

changed_events as (

    select
        events.order_id,
        events.other_order_ids,
        events.built_at
    from events
    where
        events.built_at > coalesce(
            {{ newest(this, 'source_built_at') }},
            {{ beginning_of_time() }}
        )

),

touched_orders as (

    select order_id from changed_events

    union distinct

    -- an earlier copy of an event may have moved it here from another order
    select element.value as order_id
    from {{ unnest_json_strings('changed_events', 'other_order_ids')
        | indent }}

),
{%- endif %}

order_events as (

    select events.*
    from events
    {%- if is_incremental() %}
    inner join touched_orders
        on events.order_id = touched_orders.order_id
    {%- endif %}

),

orders as (
    {%- if is_incremental() %}
    {#- Not the newest event that it has: an order may have lost that one. #}
    {{ order_milestones(
        'order_events',
        source_built_at='(select max(changed_events.built_at)'
        ~ ' from changed_events)'
    ) | indent }}
    {%- else %}

    {{ order_milestones('order_events') | indent }}
    {%- endif %}

)

select * from orders
