{% macro as_json(text_expression) %}
    {{- return(adapter.dispatch('as_json')(text_expression)) -}}
{% endmacro %}

{#- Never `jsonb`: it parses every number, and refuses those out of range. -#}
{% macro postgres__as_json(text_expression) -%}
cast({{ text_expression }} as json)
{%- endmacro %}

{% macro bigquery__as_json(text_expression) -%}
{{ text_expression }}
{%- endmacro %}


{% macro json_member(json_expression, member) %}
    {{- return(adapter.dispatch('json_member')(json_expression, member)) -}}
{% endmacro %}

{#- Of a name that is there twice, PostgreSQL takes the last. -#}
{% macro postgres__json_member(json_expression, member) -%}
{{ json_expression }} -> '{{ member }}'
{%- endmacro %}

{% macro bigquery__json_member(json_expression, member) -%}
json_query({{ json_expression }}, '$.{{ member }}')
{%- endmacro %}


{% macro json_members(relation, json_column, members) %}
    {{- return(
        adapter.dispatch('json_members')(relation, json_column, members)
    ) -}}
{% endmacro %}

{#- One pass over the object for all its members; the last of a name counts. -#}
{% macro postgres__json_members(relation, json_column, members) -%}
select
{{ relation }}.*,
{%- for member in members %}
members.{{ member }} as {{ member }}_json{{ ',' if not loop.last }}
{%- endfor %}
from {{ relation }}
left join lateral
json_to_record(
    case
        when json_typeof({{ relation }}.{{ json_column }}) = 'object'
            then {{ relation }}.{{ json_column }}
    end
) as members (
    {%- for member in members %}
    {{ member }} json{{ ',' if not loop.last }}
    {%- endfor %}
)
on true
{%- endmacro %}

{#- JSON stays text, so that no number is parsed before somebody needs it. -#}
{% macro bigquery__json_members(relation, json_column, members) -%}
select
{{ relation }}.*,
{%- for member in members %}
json_query({{ relation }}.{{ json_column }}, '$.{{ member }}')
    as {{ member }}_json{{ ',' if not loop.last }}
{%- endfor %}
from {{ relation }}
{%- endmacro %}


{% macro is_json_object(token) %}
    {{- return(adapter.dispatch('is_json_object')(token)) -}}
{% endmacro %}

{% macro postgres__is_json_object(token) -%}
json_typeof({{ token }}) = 'object'
{%- endmacro %}

{% macro bigquery__is_json_object(token) -%}
starts_with({{ token }}, '{')
{%- endmacro %}


{% macro is_json_nested(token) %}
    {{- return(adapter.dispatch('is_json_nested')(token)) -}}
{% endmacro %}

{% macro postgres__is_json_nested(token) -%}
json_typeof({{ token }}) in ('object', 'array')
{%- endmacro %}

{% macro bigquery__is_json_nested(token) -%}
left({{ token }}, 1) in ('{', '[')
{%- endmacro %}


{% macro is_json_number(token) %}
    {{- return(adapter.dispatch('is_json_number')(token)) -}}
{% endmacro %}

{% macro postgres__is_json_number(token) -%}
json_typeof({{ token }}) = 'number'
{%- endmacro %}

{% macro bigquery__is_json_number(token) -%}
regexp_contains({{ token }}, r'^[-0-9]')
{%- endmacro %}


{% macro json_text(token) %}
    {{- return(adapter.dispatch('json_text')(token)) -}}
{% endmacro %}

{% macro postgres__json_text(token) -%}
({{ token }} #>> '{}')
{%- endmacro %}

{% macro bigquery__json_text(token) -%}
json_value({{ token }}, '$')
{%- endmacro %}


{% macro json_strings_agg(expression) %}
    {{- return(adapter.dispatch('json_strings_agg')(expression)) -}}
{% endmacro %}

{#- Not `json_agg`, which writes a space after each comma. -#}
{% macro postgres__json_strings_agg(expression) -%}
'['
|| string_agg(
    cast(to_json({{ expression }}) as text), ','
    order by {{ expression }} collate "C"
)
|| ']'
{%- endmacro %}

{% macro bigquery__json_strings_agg(expression) -%}
to_json_string(array_agg({{ expression }} order by {{ expression }}))
{%- endmacro %}


{% macro unnest_json_strings(relation, json_column) %}
    {{- return(
        adapter.dispatch('unnest_json_strings')(relation, json_column)
    ) -}}
{% endmacro %}

{% macro postgres__unnest_json_strings(relation, json_column) -%}
{{ relation }}
cross join lateral
    json_array_elements_text(
        cast({{ relation }}.{{ json_column }} as json)
    ) as element (value)
{%- endmacro %}

{% macro bigquery__unnest_json_strings(relation, json_column) -%}
{{ relation }}
cross join
    unnest(
        array(
            select struct(json_string as value)
            from unnest(
                json_value_array({{ relation }}.{{ json_column }})
            ) as json_string
        )
    ) as element
{%- endmacro %}
