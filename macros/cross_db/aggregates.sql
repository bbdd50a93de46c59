{% macro first_value_where(value, condition, ordering) %}
    {{- return(
        adapter.dispatch('first_value_where')(value, condition, ordering)
    ) -}}
{% endmacro %}

{#- Aggregates with the same ordering share one sort. -#}
{% macro postgres__first_value_where(value, condition, ordering) -%}
(
    array_agg({{ value }} order by {{ ordering | join(', ') }})
    filter (where {{ condition }})
)[1]
{%- endmacro %}

{#- The struct keeps a row whose value is null; only the other rows are. -#}
{% macro bigquery__first_value_where(value, condition, ordering) -%}
array_agg(
    if({{ condition }}, struct({{ value }} as value), null)
    ignore nulls
    order by {{ ordering | join(', ') }}
    limit 1
)[safe_offset(0)].value
{%- endmacro %}


{% macro last_value_where(value, condition, ordering) %}
    {{- return(
        adapter.dispatch('last_value_where')(value, condition, ordering)
    ) -}}
{% endmacro %}

{#- Ascending, and the last of them: it shares the sort of the first values. -#}
{% macro postgres__last_value_where(value, condition, ordering) -%}
(
    array_agg({{ value }} order by {{ ordering | join(', ') }})
    filter (where {{ condition }})
)[count(*) filter (where {{ condition }})]
{%- endmacro %}

{% macro bigquery__last_value_where(value, condition, ordering) -%}
array_agg(
    if({{ condition }}, struct({{ value }} as value), null)
    ignore nulls
    order by {{ ordering | join(' desc, ') }} desc
    limit 1
)[safe_offset(0)].value
{%- endmacro %}


{% macro sorted_values(value, condition='true') %}
    {{- return(adapter.dispatch('sorted_values')(value, condition)) -}}
{% endmacro %}

{#- Aggregates of the same value share one sort. -#}
{% macro postgres__sorted_values(value, condition) -%}
array_agg({{ value }} order by {{ value }})
filter (where {{ value }} is not null and {{ condition }})
{%- endmacro %}

{% macro bigquery__sorted_values(value, condition) -%}
array_agg(
    if({{ condition }}, {{ value }}, null) ignore nulls order by {{ value }}
)
{%- endmacro %}
