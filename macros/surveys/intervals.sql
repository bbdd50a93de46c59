{#-
    95 % of the standard normal distribution lie within 1.959964 of zero;
    3.841459 is its square.
-#}

{#- Wilson's bound of a share of `trials`, four decimals. -#}
{% macro wilson_bound(successes, trials, sign) -%}
{%- set z = "cast('1.959964' as numeric)" -%}
{%- set z_squared = "cast('3.841459' as numeric)" -%}
{%- set spread = square_root(
    z_squared ~ ' + ' ~ rounded_quotient(
        '4 * ' ~ successes ~ ' * (' ~ trials ~ ' - ' ~ successes ~ ')',
        trials,
        9,
    )
) -%}
{{ rounded_quotient(
    '2 * ' ~ successes ~ ' + ' ~ z_squared ~ ' ' ~ sign ~ ' ' ~ z ~ ' * '
    ~ spread,
    '2 * (' ~ trials ~ ' + ' ~ z_squared ~ ')',
    4,
) }}
{%- endmacro %}


{#-
    The bound of a net promoter score by the adjusted Wald interval: three
    answers more, of which three quarters promote, as many detract, and the
    rest do neither. Two decimals, within -100 and 100.
-#}
{% macro net_promoter_bound(promoters, detractors, answers, sign) -%}
{%- set more = '(' ~ answers ~ ' + 3)' -%}
{%- set net = '(' ~ promoters ~ ' - ' ~ detractors ~ ')' -%}
{%- set spread = square_root(
    rounded_quotient(
        more ~ ' * (' ~ promoters ~ ' + ' ~ detractors
        ~ " + cast('1.5' as numeric)) - " ~ net ~ ' * ' ~ net,
        more,
        9,
    )
) -%}
{#- PostgreSQL takes the limit for the least or greatest of it and null. -#}
case
    when {{ answers }} is not null
        then least(
            100,
            greatest(
                -100,
                {{ rounded_quotient(
                    '100 * ' ~ net ~ ' ' ~ sign
                    ~ " cast('195.9964' as numeric) * " ~ spread,
                    more,
                    2,
                ) }}
            )
        )
end
{%- endmacro %}
