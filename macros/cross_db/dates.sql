{% macro utc_date(timestamp_expression) %}
    {{- return(adapter.dispatch('utc_date')(timestamp_expression)) -}}
{% endmacro %}

{% macro postgres__utc_date(timestamp_expression) -%}
cast({{ timestamp_expression }} at time zone 'UTC' as date)
{%- endmacro %}

{% macro bigquery__utc_date(timestamp_expression) -%}
date({{ timestamp_expression }}, 'UTC')
{%- endmacro %}


{% macro is_on_utc_day(timestamp_expression, date_expression) %}
    {{- return(
        adapter.dispatch('is_on_utc_day')(timestamp_expression, date_expression)
    ) -}}
{% endmacro %}

{#- A range, which an index on the timestamp serves. -#}
{% macro postgres__is_on_utc_day(timestamp_expression, date_expression) -%}
{{ timestamp_expression }}
>= cast({{ date_expression }} as timestamp) at time zone 'UTC'
and {{ timestamp_expression }}
< cast({{ date_expression }} + 1 as timestamp) at time zone 'UTC'
{%- endmacro %}

{#- An equality, without which BigQuery refuses to join. -#}
{% macro bigquery__is_on_utc_day(timestamp_expression, date_expression) -%}
date({{ timestamp_expression }}, 'UTC') = {{ date_expression }}
{%- endmacro %}


{% macro utc_start_of(part, timestamp_expression) %}
    {{- return(adapter.dispatch('utc_start_of')(part, timestamp_expression)) -}}
{% endmacro %}

{% macro postgres__utc_start_of(part, timestamp_expression) -%}
date_trunc('{{ part }}', {{ timestamp_expression }}, 'UTC')
{%- endmacro %}

{% macro bigquery__utc_start_of(part, timestamp_expression) -%}
timestamp_trunc({{ timestamp_expression }}, {{ part }}, 'UTC')
{%- endmacro %}


{% macro minutes_before(timestamp_expression, minutes) %}
    {{- return(
        adapter.dispatch('minutes_before')(timestamp_expression, minutes)
    ) -}}
{% endmacro %}

{% macro postgres__minutes_before(timestamp_expression, minutes) -%}
{{ timestamp_expression }} - interval '{{ minutes }} minutes'
{%- endmacro %}

{% macro bigquery__minutes_before(timestamp_expression, minutes) -%}
timestamp_sub({{ timestamp_expression }}, interval {{ minutes }} minute)
{%- endmacro %}


{% macro hours_after(timestamp_expression, hours) %}
    {{- return(
        adapter.dispatch('hours_after')(timestamp_expression, hours)
    ) -}}
{% endmacro %}

{#-
    Times a second, because an interval counts a fraction of an hour in binary
    floating point, and only to the microsecond a fraction of a second.
-#}
{% macro postgres__hours_after(timestamp_expression, hours) -%}
{{ timestamp_expression }}
+ cast(round({{ hours }} * 3600, 0) as bigint) * interval '1 second'
{%- endmacro %}

{% macro bigquery__hours_after(timestamp_expression, hours) -%}
timestamp_add(
    {{ timestamp_expression }},
    interval cast(round({{ hours }} * 3600, 0) as int64) second
)
{%- endmacro %}


{% macro next_microsecond(timestamp_expression) %}
    {{- return(adapter.dispatch('next_microsecond')(timestamp_expression)) -}}
{% endmacro %}

{% macro postgres__next_microsecond(timestamp_expression) -%}
{{ timestamp_expression }} + interval '1 microsecond'
{%- endmacro %}

{% macro bigquery__next_microsecond(timestamp_expression) -%}
timestamp_add({{ timestamp_expression }}, interval 1 microsecond)
{%- endmacro %}


{% macro microseconds_between(start_expression, end_expression) %}
    {{- return(
        adapter.dispatch('microseconds_between')(
            start_expression, end_expression
        )
    ) -}}
{% endmacro %}

{% macro postgres__microseconds_between(start_expression, end_expression) -%}
extract(epoch from {{ end_expression }} - {{ start_expression }}) * 1000000
{%- endmacro %}

{% macro bigquery__microseconds_between(start_expression, end_expression) -%}
timestamp_diff({{ end_expression }}, {{ start_expression }}, microsecond)
{%- endmacro %}


{% macro days_before(date_expression, days) %}
    {{- return(adapter.dispatch('days_before')(date_expression, days)) -}}
{% endmacro %}

{% macro postgres__days_before(date_expression, days) -%}
{{ date_expression }} - cast({{ days }} as integer)
{%- endmacro %}

{% macro bigquery__days_before(date_expression, days) -%}
date_sub({{ date_expression }}, interval {{ days }} day)
{%- endmacro %}


{% macro iso_part(part, date_expression) %}
    {{- return(adapter.dispatch('iso_part')(part, date_expression)) -}}
{% endmacro %}

{% macro postgres__iso_part(part, date_expression) -%}
{%- set name = {'year': 'isoyear', 'week': 'week', 'day': 'isodow'}[part] -%}
cast(extract({{ name }} from {{ date_expression }}) as bigint)
{%- endmacro %}

{#- BigQuery counts the days of a week from Sunday, 1; ISO from Monday, 1. -#}
{% macro bigquery__iso_part(part, date_expression) -%}
{%- if part == 'day' -%}
mod(extract(dayofweek from {{ date_expression }}) + 5, 7) + 1
{%- else -%}
extract(iso{{ part }} from {{ date_expression }})
{%- endif -%}
{%- endmacro %}


{% macro month_name(date_expression) %}
    {{- return(adapter.dispatch('month_name')(date_expression)) -}}
{% endmacro %}

{#- Without `TM`, `to_char` writes English whatever the server's locale. -#}
{% macro postgres__month_name(date_expression) -%}
to_char({{ date_expression }}, 'FMMonth')
{%- endmacro %}

{% macro bigquery__month_name(date_expression) -%}
format_date('%B', {{ date_expression }})
{%- endmacro %}


{% macro day_name(date_expression) %}
    {{- return(adapter.dispatch('day_name')(date_expression)) -}}
{% endmacro %}

{% macro postgres__day_name(date_expression) -%}
to_char({{ date_expression }}, 'FMDay')
{%- endmacro %}

{% macro bigquery__day_name(date_expression) -%}
format_date('%A', {{ date_expression }})
{%- endmacro %}


{% macro every_day(first_date, last_date) %}
    {{- return(adapter.dispatch('every_day')(first_date, last_date)) -}}
{% endmacro %}

{% macro postgres__every_day(first_date, last_date) -%}
select cast(day_start as date) as date_day
from
    generate_series(
        timestamp '{{ first_date }}',
        timestamp '{{ last_date }}',
        interval '1 day'
    ) as day_start
{%- endmacro %}

{#- Year by year: an array of every day of a century is a large one. -#}
{% macro bigquery__every_day(first_date, last_date) -%}
select date_day
from
    unnest(
        generate_date_array(
            date '{{ first_date }}', date '{{ last_date }}', interval 1 year
        )
    ) as first_of_year
cross join
    unnest(
        generate_date_array(
            first_of_year,
            least(
                date_add(
                    date_add(first_of_year, interval 1 year), interval -1 day
                ),
                date '{{ last_date }}'
            )
        )
    ) as date_day
{%- endmacro %}
