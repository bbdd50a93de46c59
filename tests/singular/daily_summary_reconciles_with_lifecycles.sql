-- The days' orders and the orders whose placement nobody has seen yet are all
-- the orders that there are, and no amount of money is lost between them.
{%- set built_through = tested_through('built_through') %}
with

built_days as (

    select * from {{ ref('daily_order_summary') }}
    {%- if built_through %}
    where source_built_at > {{ built_through }}
    {%- endif %}

),

lifecycles as (

    select
        count(*) as orders,
        count(case when orders.placed_at is null then 1 end) as unplaced_orders,
        {%- for amount in ['copay_amount', 'plan_paid_amount'] %}
        coalesce(
            sum(
                case
                    when orders.placed_at is not null then orders.{{ amount }}
                end
            ),
            0
        ) as total_{{ amount }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('fact_order_lifecycle') }} as orders
    {%- if built_through %}
    inner join built_days
        on {{ is_on_utc_day('orders.placed_at', 'built_days.order_date')
            | indent(8) }}
    {%- endif %}

),

days as (

    select
        coalesce(sum(orders_placed), 0) as placed_orders,
        coalesce(sum(orders_delivered + orders_cancelled + orders_open), 0)
            as accounted_orders,
        coalesce(sum(total_copay_amount), 0) as total_copay_amount,
        coalesce(sum(total_plan_paid_amount), 0) as total_plan_paid_amount
    from built_days

)

select
    lifecycles.orders,
    lifecycles.unplaced_orders,
    days.placed_orders,
    days.accounted_orders
from lifecycles
cross join days
where
    days.placed_orders + lifecycles.unplaced_orders != lifecycles.orders
    or days.accounted_orders != days.placed_orders
    or days.total_copay_amount != lifecycles.total_copay_amount
    or days.total_plan_paid_amount != lifecycles.total_plan_paid_amount
