{#-
    The model has no column by the name of anything that identifies a patient,
    or of the payload that does. Checked against the warehouse, not the YAML.
-#}
{% test no_direct_identifiers(model) %}
{{ config(meta={'looks_at_tables': true}) }}

{%- set forbidden = [
    'payload', 'payload_base64', 'attributes', 'patient_id', 'first_name',
    'last_name', 'full_name', 'name', 'date_of_birth', 'birth_date', 'phone',
    'email', 'address', 'city', 'zip', 'zip5', 'tracking_number', 'location',
    'reference', 'reason',
] -%}
{%- set found = [] -%}
{%- if execute and var('compile_is_incremental') is none -%}
    {%- for column in adapter.get_columns_in_relation(model) -%}
        {%- if column.name | lower in forbidden -%}
            {%- do found.append(column.name) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endif %}

{%- for column in found %}
select '{{ column }}' as forbidden_column
{{ 'union all' if not loop.last }}
{%- else %}
select 'none' as forbidden_column
from (select 1 as one) as nothing
where one = 0
{%- endfor %}

{% endtest %}
