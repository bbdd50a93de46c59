{#-
    A model's schema is the name that its configuration gives, as it is:
    `pbm_gold` is `pbm_gold` in every environment. Developers who share one
    warehouse set PBM_SCHEMA_PREFIX: with `alice`, dbt writes to
    `alice_pbm_gold`. Bronze is a source and never has a prefix.
-#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set prefix = env_var('PBM_SCHEMA_PREFIX', '') | trim -%}
    {%- set schema_name = (custom_schema_name or target.schema) | trim -%}
    {{- prefix ~ '_' ~ schema_name if prefix else schema_name -}}
{%- endmacro %}
