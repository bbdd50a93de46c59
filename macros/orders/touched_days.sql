{#-
    The days of a daily mart that are to be computed again, as `touched_date`:
    those on which an order lies that was built since, and those that hold
    more or fewer orders than the mart counted. An order that moved to another
    day, or is gone, has left such a day, or one where another took its place,
    which then was built since.
-#}
{% macro touched_days(
    relation, timestamp_column, built_date, built_count, built_condition='true'
) -%}
with

current_days as (

    select
        {{ utc_date(timestamp_column) }} as day,
        count(*) as orders
    from {{ relation }}
    where {{ timestamp_column }} is not null
    group by {{ utc_date(timestamp_column) }}

),

built_days as (

    select
        {{ built_date }} as day,
        sum({{ built_count }}) as orders
    from {{ this }}
    where {{ built_condition }}
    group by {{ built_date }}

)

select {{ utc_date(timestamp_column) }} as touched_date
from {{ relation }}
where
    {{ timestamp_column }} is not null
    and source_built_at > coalesce(
        {{ newest(this, 'source_built_at') }},
        {{ beginning_of_time() }}
    )

union distinct

select coalesce(current_days.day, built_days.day) as touched_date
from current_days
full outer join built_days
    on current_days.day = built_days.day
where
    current_days.orders is null
    or built_days.orders is null
    or current_days.orders != built_days.orders
{%- endmacro %}


{#-
    Deletes from the model the days on which no order lies any more, by the
    fact's timestamp that says on which day an order counts; `same_row` says
    what else an order has to share, and `built_condition` which rows of
    `built_days` are looked at. One column at a time: BigQuery makes no join of
    a `not exists` that stands under an `or`.
-#}
{% macro delete_days_without_orders(
    built_date, timestamp_column, same_row='true', built_condition='true'
) -%}
{%- set lifecycles = ref('fact_order_lifecycle') -%}
{%- if is_incremental() -%}
delete from {{ this }} as built_days
where
    {{ built_condition }}
    and not exists (
        select 1
        from {{ lifecycles }} as orders
        where
            {{ is_on_utc_day(
                'orders.' ~ timestamp_column, 'built_days.' ~ built_date
            ) | indent(12) }}
            and {{ same_row }}
    )
{%- endif -%}
{%- endmacro %}


{#- The same for the rows of a day and one stage. -#}
{% macro delete_stage_without_orders(built_date, stage) -%}
    {%- for one in fulfillment_stages() if one.name == stage -%}
        {{- delete_days_without_orders(
            built_date,
            one.start,
            built_condition="built_days.stage = '" ~ stage ~ "'",
        ) -}}
    {%- endfor -%}
{%- endmacro %}


{#- The pre-hooks of a mart by day and stage: one stage at a time. -#}
{% macro stage_deletions(built_date) -%}
    {%- set deletions = [] -%}
    {%- for stage in fulfillment_stages() -%}
        {%- do deletions.append(
            "{{ delete_stage_without_orders('" ~ built_date ~ "', '"
            ~ stage.name ~ "') }}"
        ) -%}
    {%- endfor -%}
    {{- return(deletions) -}}
{%- endmacro %}
