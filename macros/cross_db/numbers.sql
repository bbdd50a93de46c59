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


{% macro interpolated_percentile(percentile, value, position, value_count) %}
    {{- return(
        adapter.dispatch('interpolated_percentile')(
            percentile, value, position, value_count
        )
    ) -}}
{% endmacro %}

{#-
    The neighbours of the percentile's place weigh in by how near they are,
    in exact decimals: `percentile_cont` computes in binary floating point.
-#}
{% macro default__interpolated_percentile(
    percentile, value, position, value_count
) -%}
sum(
    {{ value }} * greatest(
        0,
        1 - abs(
            {{ position }}
            - cast('{{ percentile }}' as numeric) * ({{ value_count }} - 1)
        )
    )
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
