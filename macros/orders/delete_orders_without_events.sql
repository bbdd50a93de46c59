{#-
    An order is gone when every event of it turned out, by an earlier copy, to
    be another order's. A merge deletes nothing, so these do, after it. They
    look at tables only, so a build that failed half-way does no harm.
-#}
{% macro delete_orders_without_events() -%}
delete from {{ this }} as orders
where
    orders.order_id in (
        with

        contested as (

            select other_order_ids
            from {{ ref('stg_order_events') }}
            where other_order_ids is not null

        )

        select element.value
        from {{ unnest_json_strings('contested', 'other_order_ids') | indent(8) }}
    )
    and not exists (
        select 1
        from {{ ref('stg_order_events') }} as events
        where events.order_id = orders.order_id
    )
{%- endmacro %}


{% macro delete_orders_not_in_silver() -%}
delete from {{ this }} as orders
where
    not exists (
        select 1
        from {{ ref('cleaned_orders_table') }} as cleaned_orders
        where cleaned_orders.order_id = orders.order_id
    )
{%- endmacro %}
