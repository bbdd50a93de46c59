-- Every order that an event names is in silver and in gold, and neither has
-- an order that no event names.
with

staged_orders as (

    select
        order_id,
        count(*) as event_count
    from {{ ref('stg_order_events') }}
    group by order_id

),

lifecycles as (

    select
        cleaned_orders.order_id,
        cleaned_orders.event_count as cleaned_event_count,
        lifecycles.event_count as lifecycle_event_count
    from {{ ref('cleaned_orders_table') }} as cleaned_orders
    full outer join {{ ref('fact_order_lifecycle') }} as lifecycles
        on cleaned_orders.order_id = lifecycles.order_id

)

select
    staged_orders.order_id,
    staged_orders.event_count,
    lifecycles.cleaned_event_count,
    lifecycles.lifecycle_event_count
from staged_orders
full outer join lifecycles
    on staged_orders.order_id = lifecycles.order_id
where
    staged_orders.event_count is distinct from lifecycles.cleaned_event_count
    or staged_orders.event_count
    is distinct from lifecycles.lifecycle_event_count
