-- The days' orders and the orders whose placement nobody has seen yet are all
-- the orders that there are, and no amount of money is lost between them.
with

lifecycles as (

    select
        count(*) as orders,
        count(case when placed_at is null then 1 end) as unplaced_orders,
        coalesce(
            sum(case when placed_at is not null then copay_amount end), 0
        ) as total_copay_amount,
        coalesce(
            sum(case when placed_at is not null then plan_paid_amount end), 0
        ) as total_plan_paid_amount
    from {{ ref('fact_order_lifecycle') }}

),

days as (

    select
        coalesce(sum(orders_placed), 0) as placed_orders,
        coalesce(sum(orders_delivered + orders_cancelled + orders_open), 0)
            as accounted_orders,
        coalesce(sum(total_copay_amount), 0) as total_copay_amount,
        coalesce(sum(total_plan_paid_amount), 0) as total_plan_paid_amount
    from {{ ref('daily_order_summary') }}

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
