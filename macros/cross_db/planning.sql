{% macro evaluate_once() %}
    {{- return(adapter.dispatch('evaluate_once')()) -}}
{% endmacro %}

{#-
    PostgreSQL would inline the query, and evaluate each of its expressions
    as many times as the next query names it.
-#}
{% macro postgres__evaluate_once() %}
    offset 0 -- noqa: AM09
{%- endmacro %}

{% macro bigquery__evaluate_once() %}{% endmacro %}
