{#-
    An order is gone when every event of it turned out, by an earlier copy, to
    be another order's. A merge deletes nothing, so these do, before it. They
    look at the events that the merge is about to read, and at tables only, so
    a build that failed half-way does no harm.
-#}
{% macro delete_orders_without_events() -%}
    {{- _delete_orders_missing_in(ref('stg_order_events')) -}}
{%- endmacro %}


{% macro delete_orders_not_in_silver() -%}
    {{- _delete_orders_missing_in(ref('cleaned_orders_table')) -}}
{%- endmacro %}


{% macro _delete_orders_missing_in(relation) -%}
{%- set events = ref('stg_order_events') -%}
{%- if is_incremental() -%}
delete from {{ this }} as orders
where
    orders.order_id in (
        with

        contested as (

            select other_order_ids
            from {{ events }}
            where
                other_order_ids is not null
                and built_at > coalesce(
                    {{ newest(this, 'source_built_at') }},
                    {{ beginning_of_time() }}
                )

        )

        select element.value
        from {{ unnest_json_strings('contested', 'other_order_ids') | indent(8) }}
    )
    and not exists (
        select 1
        from {{ relation }} as current_rows
        where current_rows.order_id = orders.order_id
    )
{%- endif -%}
{%- endmacro %}
