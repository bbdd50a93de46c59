{% macro by_code_point(expression) %}
    {{- return(adapter.dispatch('by_code_point')(expression)) -}}
{% endmacro %}

{% macro postgres__by_code_point(expression) -%}
{{ expression }} collate "C"
{%- endmacro %}

{% macro bigquery__by_code_point(expression) -%}
{{ expression }}
{%- endmacro %}


{% macro trim_json_space(expression) %}
    {{- return(adapter.dispatch('trim_json_space')(expression)) -}}
{% endmacro %}

{% macro postgres__trim_json_space(expression) -%}
btrim({{ expression }}, e' \t\r\n')
{%- endmacro %}

{% macro bigquery__trim_json_space(expression) -%}
trim({{ expression }}, ' \t\r\n')
{%- endmacro %}


{% macro matches(expression, pattern) %}
    {{- return(adapter.dispatch('matches')(expression, pattern)) -}}
{% endmacro %}

{% macro postgres__matches(expression, pattern) -%}
{{ expression }} ~ '{{ pattern }}'
{%- endmacro %}

{% macro bigquery__matches(expression, pattern) -%}
regexp_contains({{ expression }}, r'{{ pattern }}')
{%- endmacro %}


{% macro first_group(expression, pattern) %}
    {{- return(adapter.dispatch('first_group')(expression, pattern)) -}}
{% endmacro %}

{% macro postgres__first_group(expression, pattern) -%}
substring({{ expression }}, '{{ pattern }}')
{%- endmacro %}

{% macro bigquery__first_group(expression, pattern) -%}
regexp_extract({{ expression }}, r'{{ pattern }}')
{%- endmacro %}


{% macro replace_with_group(expression, pattern) %}
    {{- return(adapter.dispatch('replace_with_group')(expression, pattern)) -}}
{% endmacro %}

{% macro postgres__replace_with_group(expression, pattern) -%}
regexp_replace({{ expression }}, '{{ pattern }}', '\1')
{%- endmacro %}

{% macro bigquery__replace_with_group(expression, pattern) -%}
regexp_replace({{ expression }}, r'{{ pattern }}', r'\1')
{%- endmacro %}


{% macro md5_hex(expression) %}
    {{- return(adapter.dispatch('md5_hex')(expression)) -}}
{% endmacro %}

{% macro postgres__md5_hex(expression) -%}
md5({{ expression }})
{%- endmacro %}

{% macro bigquery__md5_hex(expression) -%}
to_hex(md5({{ expression }}))
{%- endmacro %}
