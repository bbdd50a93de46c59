{#-
    One row for each open order of `lifecycles` that is past its next expected
    time, or about to pass it, as of an instant. `lifecycles` has the columns
    of `fact_order_lifecycle`, `events` those of `fact_order_events`. What such
    orders usually take is read from `lifecycles`, so it has to hold the orders
    that are through as well.
-#}
{% macro order_alerts(lifecycles, events, as_of) %}
    {#- What ends each stage, and what began it, in a sentence. -#}
    {%- set words = {
        'placed_to_approved': ['approval', 'the placement'],
        'approved_to_dispensed': ['dispensing', 'the approval'],
        'dispensed_to_shipped': ['shipment', 'the dispensing'],
        'shipped_to_delivered': ['delivery', 'the shipment'],
    } -%}
    {#- The worst comes first; of equally bad ones, the first is explained. -#}
    {%- set alert_types = [
        'temperature', 'past_promise', 'overdue', 'delivery_exception',
        'no_scan', 'prior_auth_denied', 'rejected_again',
    ] -%}

with

clock as (

    select {{ as_of }} as as_of

),

orders as (

    -- a claim that has only to be sent again should take no longer than one
    -- that nobody rejected
    select
        lifecycles.*,
        {{ target_priority('lifecycles.priority') | indent(8) }}
            as target_priority,
        case
            when
                not lifecycles.needed_intervention
                or reject_codes.actor = 'nobody_retry'
                then 'none'
            else coalesce(reject_codes.actor, 'prior_authorization')
        end as obstacle
    from {{ lifecycles }} as lifecycles
    left join {{ ref('reject_codes') }} as reject_codes
        on lifecycles.first_reject_code = reject_codes.reject_code

),

recent_orders as (

    select orders.*
    from orders
    cross join clock
    where
        orders.placed_at > {{ minutes_before(
            'clock.as_of', var('alerts_history_days') * 24 * 60
        ) }}

),

recent_stages as (

    {{ order_stages('recent_orders', ['obstacle']) | indent }}

),

recent_hours as (

    -- a percentile of a few orders says nothing about the next one
    select
        stage,
        target_priority,
        obstacle,
        {{ sorted_values('hours') | indent(8) }} as sorted_hours
    from recent_stages
    where stage in ('{{ words | join("', '") }}')
    group by stage, target_priority, obstacle
    having count(hours) >= {{ var('alerts_history_orders') }}

),

usual_hours as (

    {{ computed_once(
        'recent_hours',
        {'usual_hours': hours_percentile('sorted_hours', '0.9')},
        for_all=true,
    ) | indent }}

),

open_orders as (

    -- an order whose milestones nobody has seen is where its last event is
    select
        orders.*,
        clock.as_of,
        case
            when
                orders.shipped_at is not null
                or orders.current_status in (
                    'in_transit', 'out_for_delivery', 'delivery_exception'
                )
                then 'shipped_to_delivered'
            when orders.dispensed_at is not null then 'dispensed_to_shipped'
            when orders.approved_at is not null then 'approved_to_dispensed'
            else 'placed_to_approved'
        end as stage,
        coalesce(
            orders.shipped_at,
            orders.dispensed_at,
            orders.approved_at,
            orders.placed_at,
            orders.first_event_at
        ) as stage_started_at
    from orders
    cross join clock
    where orders.is_open

),

scans as (

    -- a scan of the label alone says nothing about the parcel
    select
        events.order_id,
        count(
            case
                when events.status not in ('info_received', 'pending') then 1
            end
        ) as movements,
        max(
            case
                when
                    open_orders.cold_chain
                    and not events.temperature_c between 2 and 8
                    then events.event_timestamp
            end
        ) as last_out_of_range_at
    from {{ events }} as events
    inner join open_orders
        on
            events.order_id = open_orders.order_id
            and open_orders.stage = 'shipped_to_delivered'
    where events.event_type = 'shipment_scanned'
    group by events.order_id

),

expected_orders as (

    -- an approval has no promise yet, a parcel has one that counts
    select
        open_orders.*,
        targets.target_hours,
        usual_hours.usual_hours,
        scans.last_out_of_range_at,
        coalesce(scans.movements, 0) as movements,
        open_orders.stage = 'shipped_to_delivered'
        and open_orders.promised_delivery_at is not null as has_promise,
        {{ hours_between(
            'open_orders.stage_started_at', 'open_orders.as_of'
        ) | indent(8) }} as hours_in_stage,
        {{ hours_between(
            'open_orders.stage_started_at', 'open_orders.promised_delivery_at'
        ) | indent(8) }} as promised_hours,
        {{ hours_between(
            'open_orders.last_event_at', 'open_orders.as_of'
        ) | indent(8) }} as hours_since_last_event
    from open_orders
    inner join {{ ref('stage_targets') }} as targets
        on
            open_orders.stage = targets.stage
            and open_orders.target_priority = targets.priority
    left join usual_hours
        on
            open_orders.stage = usual_hours.stage
            and open_orders.target_priority = usual_hours.target_priority
            and open_orders.obstacle = usual_hours.obstacle
    left join scans
        on open_orders.order_id = scans.order_id

),

allowed_orders as (

    select
        *,
        case
            when has_promise then promised_hours
            else greatest(target_hours, coalesce(usual_hours, target_hours))
        end as allowed_hours,
        case
            when has_promise then promised_hours
            else least(target_hours, coalesce(usual_hours, target_hours))
        end as warning_hours
    from expected_orders

),

rated_orders as (

    -- 3 for critical, 2 for late, 1 for a warning, 0 for nothing
    select
        *,
        hours_in_stage - allowed_hours as overdue_hours,
        case
            when not has_promise then 0
            when hours_in_stage >= 2 * allowed_hours then 3
            when hours_in_stage > allowed_hours then 2
            else 0
        end as past_promise_rating,
        case
            when has_promise then 0
            when hours_in_stage >= 2 * allowed_hours then 3
            when hours_in_stage > allowed_hours then 2
            when hours_in_stage > warning_hours then 1
            else 0
        end as overdue_rating,
        case when last_out_of_range_at is not null then 3 else 0 end
            as temperature_rating,
        case when current_status = 'delivery_exception' then 1 else 0 end
            as delivery_exception_rating,
        case
            when
                has_promise
                and movements = 0
                and 2 * hours_in_stage > allowed_hours
                then 1
            else 0
        end as no_scan_rating,
        case when current_status = 'prior_auth_denied' then 1 else 0 end
            as prior_auth_denied_rating,
        case
            when stage = 'placed_to_approved' and rejection_count > 1 then 1
            else 0
        end as rejected_again_rating
    from allowed_orders

),

worst_ratings as (

    select
        *,
        greatest(
            {%- for alert_type in alert_types %}
            {{ alert_type }}_rating{{ ',' if not loop.last }}
            {%- endfor %}
        ) as rating
    from rated_orders

),

alerts as (

    select
        *,
        case
            {%- for alert_type in alert_types %}
            when {{ alert_type }}_rating = rating then '{{ alert_type }}'
            {%- endfor %}
        end as alert_type
    from worst_ratings
    where rating > 0

)

select
    ---------- ids
    order_id,
    ndc11,
    payer_id,
    pharmacy_id,
    carrier_id,

    ---------- the order
    priority,
    current_status,
    stage,
    obstacle,

    ---------- the alert
    case rating
        when 3 then 'critical'
        when 2 then 'late'
        else 'warning'
    end as severity,
    alert_type,
    {%- set cases = [] %}
    {%- for alert_type in alert_types %}
    {%- do cases.append(
        "case when " ~ alert_type ~ "_rating > 0 then '" ~ alert_type ~ "' end"
    ) %}
    {%- endfor %}
    {{ comma_join(cases) | indent }} as all_alert_types,
    case alert_type
        when 'temperature'
            then concat(
                'Out of 2 to 8 degrees Celsius at a scan ',
                {{ whole_hours(hours_between(
                    'last_out_of_range_at', 'as_of'
                )) | indent(16) }},
                ' h ago.'
            )
        when 'past_promise'
            then concat(
                'Not delivered ',
                {{ whole_hours('overdue_hours') | indent(16) }},
                ' h after the time that was promised; the last event was ',
                {{ whole_hours('hours_since_last_event') | indent(16) }},
                ' h ago.'
            )
        when 'overdue'
            then concat(
                'No ',
                case stage
                    {%- for stage, word in words.items() %}
                    when '{{ stage }}' then '{{ word[0] }}'
                    {%- endfor %}
                end,
                ' ',
                {{ whole_hours('hours_in_stage') | indent(16) }},
                ' h after ',
                case stage
                    {%- for stage, word in words.items() %}
                    when '{{ stage }}' then '{{ word[1] }}'
                    {%- endfor %}
                end,
                '; the target is ',
                {{ whole_hours('target_hours') | indent(16) }},
                case
                    when usual_hours is null then ' h.'
                    else concat(
                        ' h, and 9 of 10 such orders take at most ',
                        {{ whole_hours('usual_hours') | indent(24) }},
                        ' h.'
                    )
                end
            )
        when 'delivery_exception'
            then concat(
                'The carrier met with a problem ',
                {{ whole_hours('hours_since_last_event') | indent(16) }},
                ' h ago, and has said nothing since.'
            )
        when 'no_scan'
            then concat(
                'No scan of the parcel ',
                {{ whole_hours('hours_in_stage') | indent(16) }},
                ' h after the shipment, and half of the time until the',
                ' promised delivery is gone.'
            )
        when 'prior_auth_denied'
            then concat(
                'The prior authorisation was denied ',
                {{ whole_hours('hours_since_last_event') | indent(16) }},
                ' h ago, and nothing has happened since.'
            )
        when 'rejected_again'
            then concat(
                'Rejected ',
                cast(rejection_count as {{ text_type() }}),
                ' times, and not approved.'
            )
    end as explanation,

    ---------- durations
    hours_in_stage,
    target_hours,
    usual_hours,
    overdue_hours,

    ---------- timestamps
    stage_started_at,
    {{ hours_after('stage_started_at', 'allowed_hours') | indent }}
        as expected_by,
    promised_delivery_at,
    last_event_at,
    as_of
from alerts
{%- endmacro %}


{#-
    When alerts are as of: the latest thing that is known to have happened,
    unless `alerts_as_of` names an instant. A source whose clock is ahead moves
    it no further than to the time when its message was published.
-#}
{% macro latest_known_time(events) -%}
{%- if var('alerts_as_of') is none -%}
(
    select max(least(known.event_timestamp, known.publish_time))
    from {{ events }} as known
)
{%- else -%}
cast('{{ var('alerts_as_of') }}' as {{ timestamp_type() }})
{%- endif -%}
{%- endmacro %}


{#- Hours as a whole number in a sentence; null where they are unknown. -#}
{% macro whole_hours(hours) -%}
cast(
    cast(round({{ hours }}, 0) as {{ whole_number_type() }})
    as {{ text_type() }}
)
{%- endmacro %}
