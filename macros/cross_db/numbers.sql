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
