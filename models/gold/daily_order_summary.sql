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
        coalesce(sum(plan_paid_amount), 0) as total_plan_paid_amount
    from orders
    group by order_date

),

ranked_deliveries as (

    select
        order_date,
        hours_placed_to_delivered,
        row_number() over (
            partition by order_date
            order by hours_placed_to_delivered asc
        )
        - 1 as deliveries_before,
        count(*) over (partition by order_date) as deliveries
    from orders
    where hours_placed_to_delivered is not null

),

daily_delivery_hours as (

    select
        order_date,
        {{ rounded_quotient(
            'sum(hours_placed_to_delivered)', 'count(*)', 4
        ) | indent(8) }} as avg_hours_placed_to_delivered,
        {%- for percentile in ['0.5', '0.9'] %}
        round(
            {{ interpolated_percentile(
                percentile,
                'hours_placed_to_delivered',
                'deliveries_before',
                'deliveries',
            ) | indent(12) }},
            4
        ) as p{{ percentile[2:] }}0_hours_placed_to_delivered
        {{- ',' if not loop.last }}
        {%- endfor %}
    from ranked_deliveries
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
        cast(
            daily_delivery_hours.avg_hours_placed_to_delivered as numeric(12, 4)
        ) as avg_hours_placed_to_delivered,
        cast(
            daily_delivery_hours.p50_hours_placed_to_delivered as numeric(12, 4)
        ) as p50_hours_placed_to_delivered,
        cast(
            daily_delivery_hours.p90_hours_placed_to_delivered as numeric(12, 4)
        ) as p90_hours_placed_to_delivered,
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
    left join daily_delivery_hours
        on daily_orders.order_date = daily_delivery_hours.order_date

)

select * from summary
