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
        ) as business_breaches_clean
    from timed_stages
    group by stage_date, stage

),

ranked_stages as (

    select
        stage_date,
        stage,
        hours,
        {%- for kind, negation in kinds.items() %}
        case when {{ negation }}needed_intervention then hours end
            as hours_{{ kind }},
        {%- endfor %}
        row_number() over (
            partition by stage_date, stage
            order by hours asc
        )
        - 1 as completed_before,
        count(*) over (partition by stage_date, stage) as completed,
        row_number() over (
            partition by stage_date, stage, needed_intervention
            order by hours asc
        )
        - 1 as alike_before,
        count(*) over (partition by stage_date, stage, needed_intervention)
            as alike
    from timed_stages
    where hours is not null

),

daily_hours as (

    select
        stage_date,
        stage
        {%- for value, position, number in [
            ('hours', 'completed_before', 'completed'),
            ('hours_clean', 'alike_before', 'alike'),
            ('hours_intervention', 'alike_before', 'alike'),
        ] %}
        {%- for percentile in ['0.5', '0.9'] %},
        round(
            {{ interpolated_percentile(
                percentile, value, position, number
            ) | indent(12) }},
            4
        ) as p{{ percentile[2:] }}0_{{ value }}
        {%- endfor %}
        {%- endfor %}
    from ranked_stages
    group by stage_date, stage

),

ranked_business_stages as (

    select
        stage_date,
        stage,
        business_hours,
        row_number() over (
            partition by stage_date, stage
            order by business_hours asc
        )
        - 1 as completed_before,
        count(*) over (partition by stage_date, stage) as completed
    from timed_stages
    where business_hours is not null

),

daily_business_hours as (

    select
        stage_date,
        stage
        {%- for percentile in ['0.5', '0.9'] %},
        round(
            {{ interpolated_percentile(
                percentile, 'business_hours', 'completed_before', 'completed'
            ) | indent(12) }},
            4
        ) as p{{ percentile[2:] }}0_business_hours
        {%- endfor %}
    from ranked_business_stages
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
        cast(daily_hours.p50_hours as numeric(12, 4)) as p50_hours,
        cast(daily_hours.p90_hours as numeric(12, 4)) as p90_hours,
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
        cast(daily_hours.p50_hours_{{ kind }} as numeric(12, 4))
            as p50_hours_{{ kind }},
        cast(daily_hours.p90_hours_{{ kind }} as numeric(12, 4))
            as p90_hours_{{ kind }},
        daily_stages.breaches_{{ kind }},
        {%- endfor %}

        ---------- in business hours
        cast(daily_business_hours.p50_business_hours as numeric(12, 4))
            as p50_business_hours,
        cast(daily_business_hours.p90_business_hours as numeric(12, 4))
            as p90_business_hours,
        {%- for column in ['business_breaches', 'business_breaches_clean'] %}
        case
            when daily_stages.completed_with_business_hours > 0
                then daily_stages.{{ column }}
        end as {{ column }},
        {%- endfor %}
        reached.source_built_at
    from daily_stages
    cross join reached
    left join daily_hours
        on
            daily_stages.stage_date = daily_hours.stage_date
            and daily_stages.stage = daily_hours.stage
    left join daily_business_hours
        on
            daily_stages.stage_date = daily_business_hours.stage_date
            and daily_stages.stage = daily_business_hours.stage

)

select * from summary
