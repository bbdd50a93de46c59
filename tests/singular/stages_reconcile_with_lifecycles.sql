-- Every order whose stage has a beginning is in one day of that stage, and
-- what was delivered is what the lifecycles say.
with

lifecycles as (

    select
        count(placed_at) as placed,
        count(hours_placed_to_shipped) as placed_and_shipped,
        count(shipped_at) as shipped,
        count(hours_shipped_to_delivered) as shipped_and_delivered
    from {{ ref('fact_order_lifecycle') }}

),

days as (

    select
        coalesce(
            sum(case when stage = 'placed_to_shipped' then orders_started end),
            0
        ) as placed,
        coalesce(
            sum(
                case
                    when stage = 'placed_to_shipped' then orders_completed
                end
            ),
            0
        ) as placed_and_shipped,
        coalesce(
            sum(
                case
                    when stage = 'shipped_to_delivered' then orders_started
                end
            ),
            0
        ) as shipped,
        coalesce(
            sum(
                case
                    when stage = 'shipped_to_delivered' then orders_completed
                end
            ),
            0
        ) as shipped_and_delivered
    from {{ ref('fulfillment_stage_daily') }}

)

select
    lifecycles.placed,
    lifecycles.placed_and_shipped,
    lifecycles.shipped,
    lifecycles.shipped_and_delivered
from lifecycles
cross join days
where
    lifecycles.placed != days.placed
    or lifecycles.placed_and_shipped != days.placed_and_shipped
    or lifecycles.shipped != days.shipped
    or lifecycles.shipped_and_delivered != days.shipped_and_delivered
