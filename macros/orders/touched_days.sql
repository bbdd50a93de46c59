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
    Deletes from the model the days on which no order lies any more. For each
    condition on `built_days` it is given the fact's timestamp by which orders
    count in such rows; `same_row` says what else an order has to share.
-#}
{% macro delete_days_without_orders(
    built_date, timestamp_columns, same_row='true'
) -%}
{%- set lifecycles = ref('fact_order_lifecycle') -%}
{%- if is_incremental() -%}
delete from {{ this }} as built_days
where
    {%- for built_condition, timestamp_column in timestamp_columns.items() %}
    {{ 'or ' if not loop.first -}}
    (
        {{ built_condition }}
        and not exists (
            select 1
            from {{ lifecycles }} as orders
            where
                {{ is_on_utc_day(
                    'orders.' ~ timestamp_column, 'built_days.' ~ built_date
                ) | indent(16) }}
                and {{ same_row }}
        )
    )
    {%- endfor %}
{%- endif -%}
{%- endmacro %}


{#- The same for the rows of a day and a stage. -#}
{% macro delete_stages_without_orders(built_date) -%}
    {%- set timestamp_columns = {} -%}
    {%- for stage in fulfillment_stages() -%}
        {%- do timestamp_columns.update(
            {"built_days.stage = '" ~ stage.name ~ "'": stage.start}
        ) -%}
    {%- endfor -%}
    {{- delete_days_without_orders(built_date, timestamp_columns) -}}
{%- endmacro %}
