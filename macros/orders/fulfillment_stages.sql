{#-
    The six stages of the seed `stage_targets`: the milestones that each lies
    between, those by which an order is past it even where its end was never
    seen, and whether the fact has its business hours.
-#}
{% macro fulfillment_stages() %}
    {{- return([
        {
            'name': 'placed_to_approved',
            'start': 'placed_at', 'end': 'approved_at',
            'past': ['dispensed_at', 'shipped_at', 'delivered_at'],
        },
        {
            'name': 'approved_to_dispensed',
            'start': 'approved_at', 'end': 'dispensed_at',
            'past': ['shipped_at', 'delivered_at'],
        },
        {
            'name': 'dispensed_to_shipped',
            'start': 'dispensed_at', 'end': 'shipped_at',
            'past': ['delivered_at'],
        },
        {
            'name': 'shipped_to_delivered',
            'start': 'shipped_at', 'end': 'delivered_at',
            'past': [],
        },
        {
            'name': 'placed_to_shipped',
            'start': 'placed_at', 'end': 'shipped_at',
            'past': ['delivered_at'],
            'has_business_hours': true,
        },
        {
            'name': 'placed_to_delivered',
            'start': 'placed_at', 'end': 'delivered_at',
            'past': [],
            'has_business_hours': true,
        },
    ]) -}}
{% endmacro %}


{#-
    One row for each order of `relation`, which has the columns of
    `fact_order_lifecycle`, and each stage that it has begun; with `columns` of
    the order beside it.
-#}
{% macro order_stages(relation, columns) -%}
{%- for stage in fulfillment_stages() -%}
select
    order_id,
    '{{ stage.name }}' as stage,
    {{ target_priority('priority') | indent }} as target_priority,
    {%- for column in columns %}
    {{ column }},
    {%- endfor %}
    {{ stage.start }} as started_at,
    hours_{{ stage.name }} as hours,
    {%- if stage.has_business_hours %}
    business_hours_{{ stage.name }} as business_hours,
    {%- else %}
    cast(null as numeric(12, 4)) as business_hours,
    {%- endif %}
    is_open
    {%- for milestone in [stage.end] + stage.past %}
    and {{ milestone }} is null
    {%- endfor %} as is_waiting
from {{ relation }}
where {{ stage.start }} is not null
{%- if not loop.last %}

union all

{% endif %}
{%- endfor %}
{%- endmacro %}


{#- An order of a priority that nobody set a target for is held to standard. -#}
{% macro target_priority(priority) -%}
case
    when {{ priority }} in ('expedited', 'stat') then {{ priority }}
    else 'standard'
end
{%- endmacro %}
