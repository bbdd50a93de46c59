{#- Whether a query about a table can be sent before the one that is written. -#}
{% macro can_be_asked(relation) %}
    {{- return(
        execute
        and model.resource_type == 'model'
        and var('compile_is_incremental') is none
        and load_relation(relation) is not none
    ) -}}
{% endmacro %}


{#- None where the query cannot be sent. -#}
{% macro earliest(column, query) %}
    {%- if not can_be_asked(this) -%}
        {{- return(none) -}}
    {%- endif -%}
    {%- set answer = run_query(
        'select cast(min(asked.' ~ column ~ ') as ' ~ text_type()
        ~ ') as earliest from (' ~ query ~ ') as asked'
    ) -%}
    {%- set earliest = answer.columns['earliest'][0] -%}
    {%- if earliest is none -%}
        {{- return(end_of_time()) -}}
    {%- endif -%}
    {{- return(
        "cast('" ~ earliest ~ "' as " ~ timestamp_type() ~ ')'
    ) -}}
{% endmacro %}
