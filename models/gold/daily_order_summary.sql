{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='order_date',
        on_schema_change='fail',
        indexes=[
            {'columns': ['order_date'], 'unique': true},
            {'columns': ['source_built_at']},
        ],
        partition_by={
            'field': 'order_date',
            'data_type': 'date',
            'granularity': 'month',
        },
        pre_hook="{{ delete_days_without_orders(
            'order_date', 'placed_at'
        ) }}",
    )
}}

with

lifecycles as {{ inlined() }}(

    select * from {{ ref('fact_order_lifecycle') }}

),

reached as (

    select max(source_built_at) as source_built_at from lifecycles

),
{%- if is_incremental() %}

touched_days as (

    {{ touched_days(
        'lifecycles', 'placed_at', 'order_date', 'orders_placed'
    ) | indent }}

),
{%- endif %}

orders as (

    select
        lifecycles.*,
        {{ utc_date('lifecycles.placed_at') }} as order_date
    from lifecycles
    {%- if is_incremental() %}
    inner join touched_days
        on {{ is_on_utc_day(
            'lifecycles.placed_at', 'touched_days.touched_date'
        ) | indent(8) }}
    {%- endif %}
    where lifecycles.placed_at is not null

),

daily_orders as (

    select
        order_date,
        count(*) as orders_placed,
        count(approved_at) as orders_approved,
        count(case when rejection_count > 0 then 1 end) as orders_rejected,
        count(shipped_at) as orders_shipped,
        count(case when current_status = 'delivered' then 1 end)
            as orders_delivered,
        count(case when current_status = 'cancelled' then 1 end)
            as orders_cancelled,
        count(case when is_open then 1 end) as orders_open,
        count(case when is_on_time then 1 end) as on_time_deliveries,
        count(case when not is_on_time then 1 end) as late_deliveries,
        coalesce(sum(copay_amount), 0) as total_copay_amount,
        coalesce(sum(plan_paid_amount), 0) as total_plan_paid_amount,
        cast(
            {{ rounded_quotient(
                'sum(hours_placed_to_delivered)',
                'nullif(count(hours_placed_to_delivered), 0)',
                4
            ) | indent(12) }} as numeric(12, 4)
        ) as avg_hours_placed_to_delivered,
        {{ sorted_values('hours_placed_to_delivered') | indent(8) }}
            as sorted_hours
    from orders
    group by order_date

),

summary as (

    select
        daily_orders.order_date,
        daily_orders.orders_placed,
        daily_orders.orders_approved,
        daily_orders.orders_rejected,
        daily_orders.orders_shipped,
        daily_orders.orders_delivered,
        daily_orders.orders_cancelled,
        daily_orders.orders_open,
        daily_orders.avg_hours_placed_to_delivered,
        {{ hours_percentiles(
            'daily_orders.sorted_hours', 'hours_placed_to_delivered'
        ) | indent(8) }}
        daily_orders.on_time_deliveries,
        daily_orders.late_deliveries,
        cast(
            {{ rounded_quotient(
                'daily_orders.on_time_deliveries',
                'nullif(daily_orders.on_time_deliveries'
                ~ ' + daily_orders.late_deliveries, 0)',
                4
            ) | indent(12) }} as numeric(5, 4)
        ) as on_time_rate,
        cast(daily_orders.total_copay_amount as numeric(28, 2))
            as total_copay_amount,
        cast(daily_orders.total_plan_paid_amount as numeric(28, 2))
            as total_plan_paid_amount,
        reached.source_built_at
    from daily_orders
    cross join reached

)

select * from summary
