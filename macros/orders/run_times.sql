{#- When this run of dbt began: one instant for all that it builds. -#}
{% macro run_start() -%}
cast('{{ run_started_at.isoformat() }}' as {{ timestamp_type() }})
{%- endmacro %}


{#- Earlier than anything that a table can hold. -#}
{% macro beginning_of_time() -%}
cast('1970-01-01 00:00:00+00:00' as {{ timestamp_type() }})
{%- endmacro %}


{#- Later than anything that a table can hold. -#}
{% macro end_of_time() -%}
cast('9999-12-31 00:00:00+00:00' as {{ timestamp_type() }})
{%- endmacro %}
