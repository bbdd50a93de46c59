{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='order_id',
        on_schema_change='fail',
        indexes=[
            {'columns': ['order_id'], 'unique': true},
            {'columns': ['placed_at']},
            {'columns': ['approved_at']},
            {'columns': ['dispensed_at']},
            {'columns': ['shipped_at']},
            {'columns': ['delivered_at']},
            {'columns': ['last_event_at']},
            {'columns': ['is_open', 'current_status']},
            {'columns': ['promised_delivery_at', 'carrier_id']},
            {'columns': ['source_built_at']},
        ],
        partition_by={
            'field': 'placed_at',
            'data_type': 'timestamp',
            'granularity': 'month',
        },
        cluster_by=['order_id'],
        pre_hook='{{ delete_orders_not_in_silver() }}',
    )
}}

with

orders as (

    select * from {{ ref('cleaned_orders_table') }}

),

changed_orders as (

    select orders.*
    from orders
    {%- if is_incremental() %}
    where
        orders.source_built_at > coalesce(
            {{ newest(this, 'source_built_at') }},
            {{ beginning_of_time() }}
        )
        -- made from the same messages, an order's row is the same
        and not exists (
            select 1
            from {{ this }} as built_orders
            where
                built_orders.order_id = orders.order_id
                and built_orders.events_hash = orders.events_hash
        )
    {%- endif %}

),

lifecycles as (

    {{ order_lifecycle('changed_orders') | indent }}

)

select * from lifecycles
