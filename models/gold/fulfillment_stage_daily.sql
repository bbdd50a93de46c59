{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['stage_date', 'stage'],
        on_schema_change='fail',
        indexes=[
            {'columns': ['stage_date', 'stage'], 'unique': true},
            {'columns': ['source_built_at']},
        ],
        partition_by={
            'field': 'stage_date',
            'data_type': 'date',
            'granularity': 'month',
        },
        cluster_by=['stage'],
        pre_hook=stage_deletions('stage_date'),
    )
}}

{%- set kinds = {'clean': 'not ', 'intervention': ''} %}

with

lifecycles as {{ inlined() }}(

    select * from {{ ref('fact_order_lifecycle') }}

),

reached as (

    select max(source_built_at) as source_built_at from lifecycles

),
{%- if is_incremental() %}

touched_days as (
    {%- for stage in fulfillment_stages() %}

    (
        {{ touched_days(
            'lifecycles', stage.start, 'stage_date', 'orders_started',
            "stage = '" ~ stage.name ~ "'",
        ) | indent(8) }}
    )
    {%- if not loop.last %}

    union distinct
    {%- endif %}
    {%- endfor %}

),

touched_orders as (
    {%- for start in fulfillment_stages() | map(attribute='start') | unique %}

    select lifecycles.order_id
    from lifecycles
    inner join touched_days
        on {{ is_on_utc_day(
            'lifecycles.' ~ start, 'touched_days.touched_date'
        ) | indent(8) }}
    {%- if not loop.last %}

    union distinct
    {%- endif %}
    {%- endfor %}

),
{%- endif %}

orders as {{ inlined() if not is_incremental() else '' }}(

    select lifecycles.*
    from lifecycles
    {%- if is_incremental() %}
    inner join touched_orders
        on lifecycles.order_id = touched_orders.order_id
    {%- endif %}

),

targets as (

    select * from {{ ref('stage_targets') }}

),

order_stages as (

    {{ order_stages('orders', ['needed_intervention']) | indent }}

),

timed_stages as (

    select
        order_stages.stage,
        {{ utc_date('order_stages.started_at') }} as stage_date,
        order_stages.needed_intervention,
        order_stages.is_waiting,
        order_stages.hours,
        order_stages.business_hours,
        order_stages.hours > targets.target_hours as is_breach,
        order_stages.business_hours > targets.target_hours
            as is_business_breach
    from order_stages
    inner join targets
        on
            order_stages.stage = targets.stage
            and order_stages.target_priority = targets.priority
    {%- if is_incremental() %}
    inner join touched_days
        on
            {{ utc_date('order_stages.started_at') }}
            = touched_days.touched_date
    {%- endif %}

),

daily_stages as (

    select
        stage_date,
        stage,
        count(*) as orders_started,
        count(hours) as orders_completed,
        count(case when is_waiting then 1 end) as orders_waiting,
        count(case when is_breach then 1 end) as breaches,
        {%- for kind, negation in kinds.items() %}
        count(case when {{ negation }}needed_intervention then hours end)
            as completed_{{ kind }},
        count(
            case when {{ negation }}needed_intervention and is_breach then 1 end
        ) as breaches_{{ kind }},
        {%- endfor %}
        count(business_hours) as completed_with_business_hours,
        count(case when is_business_breach then 1 end) as business_breaches,
        count(
            case
                when not needed_intervention and is_business_breach then 1
            end
        ) as business_breaches_clean,
        {{ sorted_values('hours') | indent(8) }} as sorted_hours,
        {%- for kind, negation in kinds.items() %}
        {{ sorted_values('hours', negation ~ 'needed_intervention')
            | indent(8) }} as sorted_hours_{{ kind }},
        {%- endfor %}
        {{ sorted_values('business_hours') | indent(8) }}
            as sorted_business_hours
    from timed_stages
    group by stage_date, stage

),

summary as (

    select
        daily_stages.stage_date,
        daily_stages.stage,

        ---------- volumes
        daily_stages.orders_started,
        daily_stages.orders_completed,
        daily_stages.orders_waiting,
        daily_stages.orders_started
        - daily_stages.orders_completed
        - daily_stages.orders_waiting as orders_left,

        ---------- all of them
        {{ hours_percentiles('daily_stages.sorted_hours', 'hours')
            | indent(8) }}
        daily_stages.breaches,
        cast(
            {{ rounded_quotient(
                'daily_stages.orders_completed - daily_stages.breaches',
                'nullif(daily_stages.orders_completed, 0)',
                4
            ) | indent(12) }} as numeric(5, 4)
        ) as within_target_rate,
        {%- for kind in kinds %}

        ---------- {{ kind }}
        daily_stages.completed_{{ kind }},
        {{ hours_percentiles(
            'daily_stages.sorted_hours_' ~ kind, 'hours_' ~ kind
        ) | indent(8) }}
        daily_stages.breaches_{{ kind }},
        {%- endfor %}

        ---------- in business hours
        {{ hours_percentiles(
            'daily_stages.sorted_business_hours', 'business_hours'
        ) | indent(8) }}
        {%- for column in ['business_breaches', 'business_breaches_clean'] %}
        case
            when daily_stages.completed_with_business_hours > 0
                then daily_stages.{{ column }}
        end as {{ column }},
        {%- endfor %}
        reached.source_built_at
    from daily_stages
    cross join reached

)

select * from summary
