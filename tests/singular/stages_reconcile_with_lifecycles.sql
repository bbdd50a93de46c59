-- Every order whose stage has a beginning is in one day of that stage, and
-- what was delivered is what the lifecycles say.
{%- set built_through = tested_through('built_through') %}
with

built_days as (

    select * from {{ ref('fulfillment_stage_daily') }}
    {%- if built_through %}
    where source_built_at > {{ built_through }}
    {%- endif %}

),

stages as (

    select
        stage,
        sum(orders_started) as orders_started,
        sum(orders_completed) as orders_completed
    from built_days
    group by stage

),

lifecycles as (
    {%- for stage, start in {
        'placed_to_shipped': 'placed_at',
        'shipped_to_delivered': 'shipped_at',
    }.items() %}

    select
        '{{ stage }}' as stage,
        count(*) as orders_started,
        count(orders.hours_{{ stage }}) as orders_completed
    from {{ ref('fact_order_lifecycle') }} as orders
    {%- if built_through %}
    inner join built_days
        on
            built_days.stage = '{{ stage }}'
            and {{ is_on_utc_day('orders.' ~ start, 'built_days.stage_date')
                | indent(12) }}
    {%- endif %}
    where orders.{{ start }} is not null
    {%- if not loop.last %}

    union all
    {%- endif %}
    {%- endfor %}

)

select
    lifecycles.stage,
    lifecycles.orders_started,
    stages.orders_started as orders_started_on_days,
    lifecycles.orders_completed,
    stages.orders_completed as orders_completed_on_days
from lifecycles
left join stages
    on lifecycles.stage = stages.stage
where
    lifecycles.orders_started != coalesce(stages.orders_started, 0)
    or lifecycles.orders_completed != coalesce(stages.orders_completed, 0)
