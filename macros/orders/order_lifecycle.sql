{#-
    The rows of `relation`, which has the columns of `cleaned_orders_table`,
    as `fact_order_lifecycle` shows them: each with its durations, what they
    say, and the flags that follow from them.
-#}
{% macro order_lifecycle(relation) %}
    {%- set durations = {
        'hours_placed_to_approved': ['placed_at', 'approved_at'],
        'hours_approved_to_dispensed': ['approved_at', 'dispensed_at'],
        'hours_dispensed_to_shipped': ['dispensed_at', 'shipped_at'],
        'hours_shipped_to_delivered': ['shipped_at', 'delivered_at'],
        'hours_placed_to_shipped': ['placed_at', 'shipped_at'],
        'hours_placed_to_delivered': ['placed_at', 'delivered_at'],
    } -%}
    {%- set business_durations = {
        'business_hours_placed_to_shipped': ['placed', 'shipped'],
        'business_hours_placed_to_delivered': ['placed', 'delivered'],
    } -%}
    {%- set own_flags = [
        "case\n            when timed.is_delivered_by_scan"
        ~ " then 'delivered_at:from_scan'\n        end"
    ] -%}
    {%- for column in durations | sort -%}
        {%- do own_flags.append(
            'case\n            when timed.' ~ column ~ " < 0\n"
            ~ "                then '" ~ column ~ ":negative'\n        end"
        ) -%}
    {%- endfor -%}

with

clocked as (

    select
        orders.*
        {%- for milestone in ['placed', 'shipped', 'delivered'] %},
        {{ business_microseconds(
            'orders.' ~ milestone ~ '_at', milestone ~ '_days'
        ) | indent(8) }} as {{ milestone }}_business_microseconds
        {%- endfor %}
    from {{ relation }} as orders
    {%- for milestone in ['placed', 'shipped', 'delivered'] %}
    left join {{ ref('dim_dates') }} as {{ milestone }}_days
        on
            {{ utc_date('orders.' ~ milestone ~ '_at') }}
            = {{ milestone }}_days.date_day
    {%- endfor %}

),

timed as (

    select
        *
        {%- for column, ends in durations.items() %},
        {{ hours_between(ends[0], ends[1]) | indent(8) }} as {{ column }}
        {%- endfor %}
        {%- for column, ends in business_durations.items() %},
        {{ in_hours(
            ends[1] ~ '_business_microseconds - '
            ~ ends[0] ~ '_business_microseconds'
        ) | indent(8) }} as {{ column }}
        {%- endfor %}
    from clocked

),

flagged as (

    select
        timed.*,
        {{ comma_join(own_flags) | indent }} as own_flags
    from timed

)

select
    ---------- ids
    order_id,
    patient_key,
    ndc11,
    payer_id,
    pharmacy_id,
    carrier_id,

    ---------- the order
    priority,
    channel,
    quantity,
    days_supply,
    state,
    zip3,
    service_level,
    cold_chain,

    ---------- status
    current_status,
    current_status not in ('delivered', 'cancelled') as is_open,

    ---------- timestamps
    placed_at,
    first_validated_at,
    approved_at,
    prior_auth_submitted_at,
    prior_auth_decided_at,
    dispensed_at,
    shipped_at,
    promised_delivery_at,
    delivered_at,
    cancelled_at,
    first_event_at,
    last_event_at,

    ---------- durations
    {%- for column in durations %}
    {{ column }},
    {%- endfor %}
    {%- for column in business_durations %}
    {{ column }},
    {%- endfor %}

    ---------- what happened on the way
    rejection_count,
    first_reject_code,
    delivery_attempts_failed,
    exception_count,
    rejection_count > 0
    or prior_auth_event_count > 0 as needed_intervention,
    delivered_at <= promised_delivery_at as is_on_time,
    minutes_out_of_range,
    has_temperature_excursion,

    ---------- money
    copay_amount,
    plan_paid_amount,

    ---------- quality
    event_count,
    case
        when own_flags is null then quality_flags
        else
            {{ sorted_distinct(
                comma_join(['own_flags', 'quality_flags'])
            ) | indent(12) }}
    end as quality_flags,
    events_hash,
    source_built_at
from flagged
{%- endmacro %}


{#-
    Hours from one timestamp to the next, rounded half away from zero to four
    decimals; below zero where the second came first.
-#}
{% macro hours_between(start_expression, end_expression) -%}
{{ in_hours(microseconds_between(start_expression, end_expression)) }}
{%- endmacro %}


{#- The percentile of sorted hours, to four decimals. -#}
{% macro hours_percentile(sorted_hours, percentile) -%}
cast(
    round(
        {{ percentile_of_sorted(sorted_hours, percentile) | indent(8) }}, 4
    ) as numeric(12, 4)
)
{%- endmacro %}


{#- The two columns of a daily mart that say how long most of them took. -#}
{% macro hours_percentiles(sorted_hours, column) -%}
{{ hours_percentile(sorted_hours, '0.5') }} as p50_{{ column }},
{{ hours_percentile(sorted_hours, '0.9') }} as p90_{{ column }},
{%- endmacro %}


{#- Microseconds as hours, rounded half away from zero to four decimals. -#}
{% macro in_hours(microseconds) -%}
cast(
    {{ rounded_quotient(microseconds, 3600000000, 4) | indent }}
    as numeric(12, 4)
)
{%- endmacro %}


{#-
    Microseconds of business days from the first day of `dim_dates` until the
    timestamp, whose day is the row `days` of it. A business day has all of its
    24 hours, by UTC. The difference of two is the business time between them,
    and no row has to be spread over its days.
-#}
{% macro business_microseconds(timestamp_expression, days) -%}
{{ days }}.business_days_before * 86400000000
+ case
    when {{ days }}.is_business_day
        then mod(
            {{ microseconds_between(
                beginning_of_time(), timestamp_expression
            ) | indent(12) }},
            86400000000
        )
    else 0
end
{%- endmacro %}
