{#-
    The event contract's rules for values. `field_text` and
    `field_number_text` turn a JSON value into the text that all the other
    rules start from: null where it is absent, ' nested' where it was an object
    or an array. No trimmed text begins with a space, so nothing else can be
    taken for it. The other rules give null for what they cannot read.
-#}

{% macro field_text(token) -%}
case
    when {{ is_json_nested(token) }} then ' nested'
    else nullif({{ trim_json_space(json_text(token)) }}, '')
end
{%- endmacro %}


{#- Only a JSON number may have an exponent; a text that has one is none. -#}
{% macro field_number_text(token) -%}
case
    when
        {{ is_json_number(token) }}
        and {{ matches(json_text(token), '[eE]') }}
        then {{ without_exponent(json_text(token)) | indent(12) }}
    when {{ is_json_nested(token) }} then ' nested'
    else nullif({{ trim_json_space(json_text(token)) }}, '')
end
{%- endmacro %}


{#-
    `1.5e3` as `1500.0`, by moving the point: no warehouse could cast
    `1e400000`, or round 5,000 digits only once. A number that is too large
    for the contract comes out as 10^15, which is too large as well.

    Written without a subquery that would name the parts: PostgreSQL parses
    payloads in one process only where an expression holds one.
-#}
{% macro without_exponent(number_text) -%}
    {%- set number_sign = first_group(number_text, '^(-?)') -%}
    {%- set digits =
        'replace(' ~ first_group(number_text, '^-?([0-9.]+)') ~ ", '.', '')"
    -%}
    {%- set significant = 'ltrim(' ~ digits ~ ", '0')" -%}
    {%- set exponent_digits =
        first_group(number_text, '[eE][+-]?0*([0-9]+)$')
    -%}
    {%- set whole_digits -%}
(
    length({{ first_group(number_text, '^-?([0-9]+)') }})
    - length({{ digits }})
    + length({{ significant }})
    + case
        when length({{ exponent_digits }}) > 8 then 99999999
        else cast({{ exponent_digits }} as {{ length_type() }})
    end
    * case
        when {{ first_group(number_text, '[eE]([+-]?)') }} = '-' then -1
        else 1
    end
)
    {%- endset -%}
case
    when {{ significant }} = '' then '0'
    when {{ whole_digits | indent }} > 15 then '1000000000000000'
    when {{ whole_digits | indent }} > 0
        then concat(
            {{ number_sign }},
            substr(
                rpad({{ significant }}, {{ whole_digits | indent(16) }}, '0'),
                1,
                {{ whole_digits | indent(16) }}
            ),
            '.',
            substr({{ significant }}, {{ whole_digits | indent(12) }} + 1),
            '0'
        )
    else concat(
        {{ number_sign }},
        '0.',
        repeat('0', least(-{{ whole_digits | indent(8) }}, 20)),
        {{ significant }}
    )
end
{%- endmacro %}


{% macro plain_text(text) -%}
nullif({{ text }}, ' nested')
{%- endmacro %}


{% macro identifier(text) -%}
lower(nullif({{ text }}, ' nested'))
{%- endmacro %}


{% macro upper_case_code(text) -%}
upper(nullif({{ text }}, ' nested'))
{%- endmacro %}


{% macro listed_code(text) -%}
replace(
    replace(lower(nullif({{ text }}, ' nested')), ' ', '_'), '-', '_'
)
{%- endmacro %}


{#-
    A cast to a numeric rounds half away from zero. Digits past the fourth
    decimal cannot change how a half is rounded at the third; without them,
    any number of digits fits.
-#}
{% macro rounded_number(text, type) -%}
cast(
    case
        when {{ matches(text, '^-?(0|[1-9][0-9]{0,14})([.][0-9]+)?$') }}
            then {{ first_group(text, '^(-?[0-9]+(?:[.][0-9]{1,4})?)') }}
    end
    as {{ type }}
)
{%- endmacro %}


{% macro number_with_3_decimals(text) -%}
{{ rounded_number(text, 'numeric(19, 3)') }}
{%- endmacro %}


{% macro money(text) -%}
{{ rounded_number(text, 'numeric(18, 2)') }}
{%- endmacro %}


{% macro whole_number(text) -%}
case
    when {{ matches(text, '^-?(0|[1-9][0-9]{0,14})([.]0+)?$') }}
        then cast(
            {{ first_group(text, '^(-?[0-9]+)') }}
            as {{ whole_number_type() }}
        )
end
{%- endmacro %}


{% macro true_or_false(text) -%}
case lower({{ text }}) when 'true' then true when 'false' then false end
{%- endmacro %}


{#-
    The grammar refuses what a cast would let through: no offset, hour 24,
    second 60. The cast refuses what the grammar lets through: 30 February.
-#}
{% macro instant(text) -%}
{%- set grammar = (
    '^[0-9]{4}-[0-9]{2}-[0-9]{2}'
    ~ '[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?'
    ~ '([Zz]|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))$'
) -%}
{%- set six_digits = replace_with_group(text, '([.][0-9]{6})[0-9]+') -%}
{%- set moment = try_timestamp('upper(' ~ six_digits ~ ')') -%}
case
    when
        {{ matches(text, grammar) }}
        and {{ moment }} >= cast(
            '2000-01-01 00:00:00+00:00' as {{ timestamp_type() }}
        )
        and {{ moment }} < cast(
            '2101-01-01 00:00:00+00:00' as {{ timestamp_type() }}
        )
        then {{ moment }}
end
{%- endmacro %}


{% macro ndc_in_eleven_digits(text) -%}
case
    when {{ matches(text, '^([0-9]{11}|[0-9]{5}-[0-9]{4}-[0-9]{2})$') }}
        then replace({{ text }}, '-', '')
    when {{ matches(text, '^[0-9]{4}-[0-9]{4}-[0-9]{2}$') }}
        then concat('0', replace({{ text }}, '-', ''))
    when {{ matches(text, '^[0-9]{5}-[0-9]{3}-[0-9]{2}$') }}
        then concat(
            left({{ text }}, 5),
            '0',
            substr({{ text }}, 7, 3),
            right({{ text }}, 2)
        )
    when {{ matches(text, '^[0-9]{5}-[0-9]{4}-[0-9]$') }}
        then concat(
            left({{ text }}, 5),
            substr({{ text }}, 7, 4),
            '0',
            right({{ text }}, 1)
        )
end
{%- endmacro %}


{% macro first_three_of_zip(text) -%}
case
    when {{ matches(text, '^[0-9]{5}(-?[0-9]{4})?$') }}
        then left({{ text }}, 3)
end
{%- endmacro %}


{#-
    Everybody over 89 at the time of the event is shown with the youngest
    birth year that such a person can have: the event's year less 90.
-#}
{% macro pooled_birth_year(text) -%}
case
    when
        {{ matches(text, '^[0-9]{4}-[0-9]{2}-[0-9]{2}$') }}
        and {{ try_date(text) }} is not null
        then greatest(
            cast(left({{ text }}, 4) as {{ whole_number_type() }}),
            cast(
                extract(year from {{ utc_date('event_timestamp') }})
                as {{ whole_number_type() }}
            )
            - 90
        )
end
{%- endmacro %}
