{#-
    One row for each order of `relation`, which has the columns of
    `stg_order_events` and all events of every order in it. Earliest and
    latest are by event timestamp, then by event id as text by code points;
    columns taken from one event are all taken from that one, nulls included.
-#}
{% macro order_milestones(relation) %}
    {%- set earliest -%}
order by event_timestamp asc, {{ by_code_point('event_id') }} asc
    {%- endset -%}
    {%- set latest -%}
order by event_timestamp desc, {{ by_code_point('event_id') }} desc
    {%- endset -%}

with

timelines as (

    select
        order_id,
        min(case when event_type = 'order_placed' then event_timestamp end)
            as placed_at,
        min(
            case
                when event_type = 'insurance_validation' then event_timestamp
            end
        ) as first_validated_at,
        min(
            case
                when
                    event_type = 'insurance_validation'
                    and status = 'approved'
                    then event_timestamp
            end
        ) as approved_at,
        min(
            case
                when
                    event_type = 'prior_authorization'
                    and status = 'submitted'
                    then event_timestamp
            end
        ) as prior_auth_submitted_at,
        min(
            case
                when
                    event_type = 'prior_authorization'
                    and status in ('approved', 'denied')
                    then event_timestamp
            end
        ) as prior_auth_decided_at,
        min(case when event_type = 'order_dispensed' then event_timestamp end)
            as dispensed_at,
        min(case when event_type = 'order_shipped' then event_timestamp end)
            as shipped_at,
        min(
            case
                when event_type = 'order_delivered'
                    then coalesce(delivered_at, event_timestamp)
            end
        ) as reported_delivered_at,
        min(
            case
                when
                    event_type = 'shipment_scanned' and status = 'delivered'
                    then event_timestamp
            end
        ) as scanned_delivered_at,
        min(case when event_type = 'order_cancelled' then event_timestamp end)
            as cancelled_at,
        count(
            case
                when
                    event_type = 'insurance_validation'
                    and status = 'rejected'
                    then 1
            end
        ) as rejection_count,
        count(case when event_type = 'prior_authorization' then 1 end)
            as prior_auth_event_count,
        count(
            case
                when
                    event_type = 'shipment_scanned' and status = 'attempt_fail'
                    then 1
            end
        ) as delivery_attempts_failed,
        count(
            case
                when
                    event_type = 'shipment_scanned' and status = 'exception'
                    then 1
            end
        ) as exception_count,
        max(minutes_out_of_range) as minutes_out_of_range,
        count(*) as event_count,
        min(event_timestamp) as first_event_at,
        max(event_timestamp) as last_event_at,
        string_agg(quality_flags, ',') as event_flags,
        string_agg(
            concat(event_id, ' ', message_id), ','
            order by {{ by_code_point('event_id') }}
        ) as event_messages,
        max(built_at) as source_built_at
    from {{ relation }}
    group by order_id

),

placements as (

    -- sources resend placements after an outage: the earliest one is the order
    select
        *,
        row_number() over (
            partition by order_id
            {{ earliest }}
        ) as placement_number
    from {{ relation }}
    where event_type = 'order_placed'

),

payers as (

    select
        order_id,
        payer_id,
        row_number() over (
            partition by order_id
            {{ earliest }}
        ) as payer_number
    from {{ relation }}
    where
        event_type = 'insurance_validation'
        and payer_id is not null

),

rejections as (

    select
        order_id,
        reject_code,
        row_number() over (
            partition by order_id
            {{ earliest }}
        ) as rejection_number
    from {{ relation }}
    where
        event_type = 'insurance_validation'
        and status = 'rejected'

),

approvals as (

    -- what an approval says of money replaces what the one before it said
    select
        order_id,
        copay_amount,
        plan_paid_amount,
        row_number() over (
            partition by order_id
            {{ latest }}
        ) as approval_number_from_last
    from {{ relation }}
    where
        event_type = 'insurance_validation'
        and status = 'approved'

),

shipments as (

    select
        order_id,
        promised_delivery_at,
        carrier_id,
        service_level,
        cold_chain,
        row_number() over (
            partition by order_id
            {{ earliest }}
        ) as shipment_number
    from {{ relation }}
    where event_type = 'order_shipped'

),

steps as (

    select
        order_id,
        event_id,
        event_timestamp,
        case event_type
            when 'order_placed' then 1
            when 'insurance_validation' then 2
            when 'prior_authorization' then 3
            when 'order_dispensed' then 4
            when 'order_shipped' then 5
            when 'shipment_scanned' then 6
        end as stage_rank,
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
    where event_type not in ('order_delivered', 'order_cancelled')

),

numbered_steps as (

    -- sources without a clock of their own stamp several events alike
    select
        order_id,
        reached_status,
        row_number() over (
            partition by order_id
            order by
                event_timestamp desc,
                stage_rank desc,
                {{ by_code_point('event_id') }} desc
        ) as step_number_from_last
    from steps

)

select
    ---------- ids
    timelines.order_id,
    placements.patient_key,
    placements.ndc11,
    coalesce(placements.payer_id, payers.payer_id) as payer_id,
    placements.pharmacy_id,
    shipments.carrier_id,

    ---------- the order
    placements.priority,
    placements.channel,
    placements.quantity,
    placements.days_supply,
    shipments.service_level,
    shipments.cold_chain,

    ---------- the patient
    placements.birth_year,
    placements.gender,
    placements.state,
    placements.zip3,

    ---------- status
    case
        when
            timelines.reported_delivered_at is not null
            or timelines.scanned_delivered_at is not null
            then 'delivered'
        when timelines.cancelled_at is not null then 'cancelled'
        else numbered_steps.reached_status
    end as current_status,
    timelines.reported_delivered_at is null
    and timelines.scanned_delivered_at is not null as is_delivered_by_scan,

    ---------- timestamps
    timelines.placed_at,
    timelines.first_validated_at,
    timelines.approved_at,
    timelines.prior_auth_submitted_at,
    timelines.prior_auth_decided_at,
    timelines.dispensed_at,
    timelines.shipped_at,
    shipments.promised_delivery_at,
    coalesce(timelines.reported_delivered_at, timelines.scanned_delivered_at)
        as delivered_at,
    timelines.cancelled_at,
    timelines.first_event_at,
    timelines.last_event_at,

    ---------- what happened on the way
    timelines.rejection_count,
    rejections.reject_code as first_reject_code,
    timelines.prior_auth_event_count,
    timelines.delivery_attempts_failed,
    timelines.exception_count,
    cast(timelines.minutes_out_of_range as numeric(19, 3))
        as minutes_out_of_range,
    timelines.minutes_out_of_range > 0 as has_temperature_excursion,

    ---------- money
    approvals.copay_amount,
    approvals.plan_paid_amount,

    ---------- bookkeeping
    timelines.event_count,
    {{ sorted_distinct('timelines.event_flags') | indent }} as quality_flags,
    {{ md5_hex('timelines.event_messages') }} as events_hash,
    timelines.source_built_at
from timelines
left join placements
    on
        timelines.order_id = placements.order_id
        and placements.placement_number = 1
left join payers
    on
        timelines.order_id = payers.order_id
        and payers.payer_number = 1
left join rejections
    on
        timelines.order_id = rejections.order_id
        and rejections.rejection_number = 1
left join approvals
    on
        timelines.order_id = approvals.order_id
        and approvals.approval_number_from_last = 1
left join shipments
    on
        timelines.order_id = shipments.order_id
        and shipments.shipment_number = 1
left join numbered_steps
    on
        timelines.order_id = numbered_steps.order_id
        and numbered_steps.step_number_from_last = 1
{%- endmacro %}
