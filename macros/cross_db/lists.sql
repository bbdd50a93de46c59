{% macro comma_join(expressions) %}
    {{- return(adapter.dispatch('comma_join')(expressions)) -}}
{% endmacro %}

{% macro postgres__comma_join(expressions) -%}
nullif(
    concat_ws(
        ',',
        {{ expressions | join(',\n            ') }}
    ),
    ''
)
{%- endmacro %}

{% macro bigquery__comma_join(expressions) -%}
nullif(
    array_to_string(
        [
            {{ expressions | join(',\n                ') }}
        ],
        ','
    ),
    ''
)
{%- endmacro %}


{% macro sorted_distinct(comma_list) %}
    {{- return(adapter.dispatch('sorted_distinct')(comma_list)) -}}
{% endmacro %}

{% macro postgres__sorted_distinct(comma_list) -%}
(
    select
        string_agg(
            distinct items.item collate "C", ','
            order by items.item collate "C"
        )
    from unnest(string_to_array({{ comma_list }}, ',')) as items (item)
)
{%- endmacro %}

{% macro bigquery__sorted_distinct(comma_list) -%}
(
    select string_agg(distinct item, ',' order by item)
    from unnest(split({{ comma_list }}, ',')) as item
)
{%- endmacro %}
