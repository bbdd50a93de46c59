-- Every order that an event names is in silver and in gold, and neither has
-- an order that no event names.
{%- set built_through = tested_through('built_through') %}
with
{%- if built_through %}

changed_orders as (

    select order_id from {{ ref('stg_order_events') }}
    where built_at > {{ built_through }}

    union distinct

    select order_id from {{ ref('cleaned_orders_table') }}
    where source_built_at > {{ built_through }}

    union distinct

    select order_id from {{ ref('fact_order_lifecycle') }}
    where source_built_at > {{ built_through }}

),
{%- endif %}

staged_orders as (

    select
        events.order_id,
        count(*) as event_count
    from {{ ref('stg_order_events') }} as events
    {%- if built_through %}
    inner join changed_orders
        on events.order_id = changed_orders.order_id
    {%- endif %}
    group by events.order_id

),
{%- for name, model in {
    'cleaned_orders': 'cleaned_orders_table',
    'lifecycles': 'fact_order_lifecycle',
}.items() %}

{{ name }} as (

    select
        orders.order_id,
        orders.event_count
    from {{ ref(model) }} as orders
    {%- if built_through %}
    inner join changed_orders
        on orders.order_id = changed_orders.order_id
    {%- endif %}

),
{%- endfor %}

built_orders as (

    select
        coalesce(cleaned_orders.order_id, lifecycles.order_id) as order_id,
        cleaned_orders.event_count as cleaned_event_count,
        lifecycles.event_count as lifecycle_event_count
    from cleaned_orders
    full outer join lifecycles
        on cleaned_orders.order_id = lifecycles.order_id

)

select
    coalesce(staged_orders.order_id, built_orders.order_id) as order_id,
    staged_orders.event_count,
    built_orders.cleaned_event_count,
    built_orders.lifecycle_event_count
from staged_orders
full outer join built_orders
    on staged_orders.order_id = built_orders.order_id
where
    staged_orders.event_count is distinct from built_orders.cleaned_event_count
    or staged_orders.event_count
    is distinct from built_orders.lifecycle_event_count
