{% macro rounded_quotient(numerator, denominator, decimals) %}
    {{- return(
        adapter.dispatch('rounded_quotient')(numerator, denominator, decimals)
    ) -}}
{% endmacro %}

{#-
    Twenty decimals before the only rounding that counts: with fewer, a
    quotient just below a half is first rounded to the half, and then up.
-#}
{% macro postgres__rounded_quotient(numerator, denominator, decimals) -%}
round(
    cast({{ numerator }} as numeric(60, 20)) / ({{ denominator }}),
    {{ decimals }}
)
{%- endmacro %}

{% macro bigquery__rounded_quotient(numerator, denominator, decimals) -%}
cast(
    round(
        cast({{ numerator }} as bignumeric) / ({{ denominator }}),
        {{ decimals }}
    ) as numeric
)
{%- endmacro %}


{% macro percentile_of_sorted(values, percentile) %}
    {{- return(
        adapter.dispatch('percentile_of_sorted')(values, percentile)
    ) -}}
{% endmacro %}

{#-
    The neighbours of the percentile's place weigh in by how near they are,
    in exact decimals: `percentile_cont` computes in binary floating point.
-#}
{% macro postgres__percentile_of_sorted(values, percentile) -%}
{%- set place = percentile ~ ' * (cardinality(' ~ values ~ ') - 1)' -%}
{{ values }}[1 + floor({{ place }})]
+ ({{ place }} - floor({{ place }}))
* (
    {{ values }}[1 + ceil({{ place }})] - {{ values }}[1 + floor({{ place }})]
)
{%- endmacro %}

{% macro bigquery__percentile_of_sorted(values, percentile) -%}
{%- set place =
    "numeric '" ~ percentile ~ "' * (array_length(" ~ values ~ ') - 1)'
-%}
{%- set before = 'cast(floor(' ~ place ~ ') as int64)' -%}
{%- set after = 'cast(ceil(' ~ place ~ ') as int64)' -%}
{{ values }}[safe_offset({{ before }})]
+ ({{ place }} - floor({{ place }}))
* (
    {{ values }}[safe_offset({{ after }})]
    - {{ values }}[safe_offset({{ before }})]
)
{%- endmacro %}


{% macro square_root(expression) %}
    {{- return(adapter.dispatch('square_root')(expression)) -}}
{% endmacro %}

{#- Exact decimals, rounded once: floating point would differ in the last. -#}
{% macro postgres__square_root(expression) -%}
round(sqrt(cast({{ expression }} as numeric)), 9)
{%- endmacro %}

{% macro bigquery__square_root(expression) -%}
cast(round(sqrt(cast({{ expression }} as bignumeric)), 9) as numeric)
{%- endmacro %}
