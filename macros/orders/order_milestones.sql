{#-
    One row for each order of `relation`, which has the columns of
    `stg_order_events` and all events of every order in it. Earliest and
    latest are by event timestamp, then by event id as text by code points;
    columns taken from one event are all taken from that one, nulls included.

    `source_built_at` says up to which `built_at` the order's events were read.

    The relation is read once and sorted once, and the order is the only group:
    a view that asks for one order then reads the events of that one only.
-#}
{% macro order_milestones(relation, source_built_at='max(built_at)') %}
    {#- The events of one type have one stage rank, so it changes nothing where
    only they are compared, and one ordering serves every column. -#}
    {%- set in_time = [
        'event_timestamp', 'stage_rank', by_code_point('event_id')
    ] -%}
    {%- set is_placement = "event_type = 'order_placed'" -%}
    {%- set is_validation = "event_type = 'insurance_validation'" -%}
    {%- set is_rejection = is_validation ~ " and status = 'rejected'" -%}
    {%- set is_approval = is_validation ~ " and status = 'approved'" -%}
    {%- set is_authorisation = "event_type = 'prior_authorization'" -%}
    {%- set is_shipment = "event_type = 'order_shipped'" -%}
    {%- set is_scan = "event_type = 'shipment_scanned'" -%}

with

events as (

    select
        *,
        {{ stage_rank('event_type') | indent(8) }} as stage_rank,
        case
            when event_type = 'order_placed' then 'placed'
            when event_type = 'order_dispensed' then 'dispensed'
            when event_type = 'order_shipped' then 'shipped'
            when event_type = 'insurance_validation'
                then
                    case status
                        when 'approved' then 'insurance_approved'
                        when 'rejected' then 'insurance_rejected'
                        else 'insurance_pending'
                    end
            when event_type = 'prior_authorization'
                then
                    case status
                        when 'approved' then 'prior_auth_approved'
                        when 'denied' then 'prior_auth_denied'
                        else 'prior_auth_submitted'
                    end
            when event_type = 'shipment_scanned'
                then
                    case
                        when status in ('exception', 'attempt_fail', 'expired')
                            then 'delivery_exception'
                        when status = 'out_for_delivery' then 'out_for_delivery'
                        else 'in_transit'
                    end
        end as reached_status
    from {{ relation }}

),

orders as (

    select
        order_id,

        -- sources resend placements after an outage: the earliest is the order
        {%- for column in [
            'patient_key', 'ndc11', 'payer_id', 'pharmacy_id', 'priority',
            'channel', 'quantity', 'days_supply', 'birth_year', 'gender',
            'state', 'zip3',
        ] %}
        {{ first_value_where(column, is_placement, in_time) | indent(8) }}
            as {{ 'placed_' ~ column if column == 'payer_id' else column }},
        {%- endfor %}
        {{ first_value_where(
            'payer_id', is_validation ~ ' and payer_id is not null', in_time
        ) | indent(8) }} as validated_payer_id,
        {{ first_value_where('reject_code', is_rejection, in_time)
            | indent(8) }} as first_reject_code,

        -- what an approval says of money replaces what the one before it said
        {%- for column in ['copay_amount', 'plan_paid_amount'] %}
        {{ last_value_where(column, is_approval, in_time) | indent(8) }}
            as {{ column }},
        {%- endfor %}

        {%- for column in [
            'promised_delivery_at', 'carrier_id', 'service_level', 'cold_chain',
        ] %}
        {{ first_value_where(column, is_shipment, in_time) | indent(8) }}
            as {{ column }},
        {%- endfor %}

        -- sources without a clock of their own stamp several events alike
        {{ last_value_where('reached_status', 'stage_rank <= 6', in_time)
            | indent(8) }} as reached_status,

        {%- for column, condition in {
            'placed_at': is_placement,
            'first_validated_at': is_validation,
            'approved_at': is_approval,
            'prior_auth_submitted_at': is_authorisation
                ~ " and status = 'submitted'",
            'prior_auth_decided_at': is_authorisation
                ~ " and status in ('approved', 'denied')",
            'dispensed_at': "event_type = 'order_dispensed'",
            'shipped_at': is_shipment,
            'scanned_delivered_at': is_scan ~ " and status = 'delivered'",
            'cancelled_at': "event_type = 'order_cancelled'",
        }.items() %}
        min(case when {{ condition }} then event_timestamp end) as {{ column }},
        {%- endfor %}
        min(
            case
                when event_type = 'order_delivered'
                    then coalesce(delivered_at, event_timestamp)
            end
        ) as reported_delivered_at,

        {%- for column, condition in {
            'rejection_count': is_rejection,
            'prior_auth_event_count': is_authorisation,
            'delivery_attempts_failed': is_scan
                ~ " and status = 'attempt_fail'",
            'exception_count': is_scan ~ " and status = 'exception'",
        }.items() %}
        count(case when {{ condition }} then 1 end) as {{ column }},
        {%- endfor %}
        max(minutes_out_of_range) as minutes_out_of_range,
        count(*) as event_count,
        min(event_timestamp) as first_event_at,
        max(event_timestamp) as last_event_at,
        string_agg(quality_flags, ',') as event_flags,
        string_agg(
            concat(event_id, ' ', message_id), ','
            order by {{ in_time | join(', ') }}
        ) as event_messages,
        {{ source_built_at }} as source_built_at
    from events
    group by order_id

)

select
    ---------- ids
    order_id,
    patient_key,
    ndc11,
    coalesce(placed_payer_id, validated_payer_id) as payer_id,
    pharmacy_id,
    carrier_id,

    ---------- the order
    priority,
    channel,
    cast(quantity as numeric(19, 3)) as quantity,
    days_supply,
    service_level,
    cold_chain,

    ---------- the patient
    birth_year,
    gender,
    state,
    zip3,

    ---------- status
    case
        when
            reported_delivered_at is not null
            or scanned_delivered_at is not null
            then 'delivered'
        when cancelled_at is not null then 'cancelled'
        else reached_status
    end as current_status,
    reported_delivered_at is null
    and scanned_delivered_at is not null as is_delivered_by_scan,

    ---------- timestamps
    placed_at,
    first_validated_at,
    approved_at,
    prior_auth_submitted_at,
    prior_auth_decided_at,
    dispensed_at,
    shipped_at,
    promised_delivery_at,
    coalesce(reported_delivered_at, scanned_delivered_at) as delivered_at,
    cancelled_at,
    first_event_at,
    last_event_at,

    ---------- what happened on the way
    rejection_count,
    first_reject_code,
    prior_auth_event_count,
    delivery_attempts_failed,
    exception_count,
    cast(minutes_out_of_range as numeric(19, 3)) as minutes_out_of_range,
    minutes_out_of_range > 0 as has_temperature_excursion,

    ---------- money
    cast(copay_amount as numeric(18, 2)) as copay_amount,
    cast(plan_paid_amount as numeric(18, 2)) as plan_paid_amount,

    ---------- bookkeeping
    event_count,
    {{ sorted_distinct('event_flags') | indent }} as quality_flags,
    {{ md5_hex('event_messages') }} as events_hash,
    source_built_at
from orders
{%- endmacro %}
