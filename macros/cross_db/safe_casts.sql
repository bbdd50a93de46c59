{% macro try_date(expression) %}
    {{- return(adapter.dispatch('try_date')(expression)) -}}
{% endmacro %}

{% macro postgres__try_date(expression) -%}
case
    when pg_input_is_valid({{ expression }}, 'date')
        then cast({{ expression }} as date)
end
{%- endmacro %}

{% macro bigquery__try_date(expression) -%}
safe_cast({{ expression }} as date)
{%- endmacro %}


{% macro try_timestamp(expression) %}
    {{- return(adapter.dispatch('try_timestamp')(expression)) -}}
{% endmacro %}

{% macro postgres__try_timestamp(expression) -%}
case
    when pg_input_is_valid({{ expression }}, 'timestamptz')
        then cast({{ expression }} as timestamp with time zone)
end
{%- endmacro %}

{% macro bigquery__try_timestamp(expression) -%}
safe_cast({{ expression }} as timestamp)
{%- endmacro %}
