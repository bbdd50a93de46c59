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


{% macro newest(relation, column) %}
    {{- return(adapter.dispatch('newest')(relation, column)) -}}
{% endmacro %}

{#-
    Asked before the query rather than in it: only by a literal does BigQuery
    leave out the partitions that are older, and PostgreSQL pick its index. A
    unit test's table and an offline compile's cannot be asked.
-#}
{% macro default__newest(relation, column) -%}
{%- set newest = none -%}
{%- set can_ask = (
    execute
    and model.resource_type == 'model'
    and var('compile_is_incremental') is none
) -%}
{%- if can_ask -%}
    {%- set answer = run_query(
        'select cast(max(' ~ column ~ ') as ' ~ text_type() ~ ') as newest'
        ~ ' from ' ~ relation
    ) -%}
    {%- set newest = answer.columns['newest'][0] -%}
{%- endif -%}
{%- if newest is not none -%}
cast('{{ newest }}' as {{ timestamp_type() }})
{%- else -%}
(select max(built_rows.{{ column }}) from {{ relation }} as built_rows)
{%- endif -%}
{%- endmacro %}
