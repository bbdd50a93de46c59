{#-
    dbt writes the texts of unit tests by this macro. Its own for BigQuery
    leaves backslashes alone, which BigQuery would take for escapes.
-#}
{% macro bigquery__escape_single_quotes(expression) -%}
{{ expression
    | replace('\\', '\\\\')
    | replace("'", "\\'")
    | replace('\n', '\\n') }}
{%- endmacro %}
