{#-
    An order is gone when every event of it turned out, by an earlier copy, to
    be another order's; a patient when no placement names them any more. A
    merge deletes nothing, so these do, before it. They look at the events that
    the merge is about to read, and at tables only, so a build that failed
    half-way does no harm.
-#}
{% macro delete_orders_without_events() -%}
    {{- delete_unclaimed(
        'order_id', 'other_order_ids', ref('stg_order_events')
    ) -}}
{%- endmacro %}


{% macro delete_orders_not_in_silver() -%}
    {{- delete_unclaimed(
        'order_id', 'other_order_ids', ref('cleaned_orders_table')
    ) -}}
{%- endmacro %}


{% macro delete_patients_without_placements() -%}
    {{- delete_unclaimed(
        'patient_key', 'other_patient_keys', ref('stg_order_events')
    ) -}}
{%- endmacro %}


{% macro delete_unclaimed(key, others, relation) -%}
{%- set events = ref('stg_order_events') -%}
{%- if is_incremental() -%}
delete from {{ this }} as built_rows
where
    built_rows.{{ key }} in (
        with

        contested as (

            select {{ others }}
            from {{ events }}
            where
                {{ others }} is not null
                and built_at > coalesce(
                    {{ newest(this, 'source_built_at') }},
                    {{ beginning_of_time() }}
                )

        )

        select element.value
        from {{ unnest_json_strings('contested', others) | indent(8) }}
    )
    and not exists (
        select 1
        from {{ relation }} as current_rows
        where current_rows.{{ key }} = built_rows.{{ key }}
    )
{%- endif -%}
{%- endmacro %}
