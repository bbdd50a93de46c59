{% macro timestamp_type() %}
    {{- return(adapter.dispatch('timestamp_type')()) -}}
{% endmacro %}

{% macro postgres__timestamp_type() %}timestamp with time zone{% endmacro %}

{% macro bigquery__timestamp_type() %}timestamp{% endmacro %}


{% macro whole_number_type() %}
    {{- return(adapter.dispatch('whole_number_type')()) -}}
{% endmacro %}

{% macro postgres__whole_number_type() %}bigint{% endmacro %}

{% macro bigquery__whole_number_type() %}int64{% endmacro %}


{% macro text_type() %}
    {{- return(adapter.dispatch('text_type')()) -}}
{% endmacro %}

{% macro postgres__text_type() %}text{% endmacro %}

{% macro bigquery__text_type() %}string{% endmacro %}


{% macro length_type() %}
    {{- return(adapter.dispatch('length_type')()) -}}
{% endmacro %}

{#- `rpad` and `substr` take no bigint. -#}
{% macro postgres__length_type() %}integer{% endmacro %}

{% macro bigquery__length_type() %}int64{% endmacro %}
