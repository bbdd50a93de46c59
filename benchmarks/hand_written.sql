-- The same gold from the same bronze in the fewest statements: what somebody would write who knows
-- the data and PostgreSQL, and needs neither increments nor BigQuery nor tests. The messages here
-- are all good: JSON goes through jsonb, and nothing is flagged.
create schema by_hand;

create table by_hand.staged as
select
    *,
    case event_type
        when 'order_placed' then 1
        when 'insurance_validation' then 2
        when 'prior_authorization' then 3
        when 'order_dispensed' then 4
        when 'order_shipped' then 5
        when 'shipment_scanned' then 6
    end as stage_rank
from (
    select
        messages.event_id,
        messages.message_id,
        messages.order_id,
        messages.event_type,
        messages.event_timestamp,
        messages.patient_key,
        messages.patient_key_version,
        messages.source_system,
        messages.publish_time,
        lower(btrim(data ->> 'payer_id')) as payer_id,
        lower(btrim(data ->> 'pharmacy_id')) as pharmacy_id,
        lower(btrim(data ->> 'carrier_id')) as carrier_id,
        translate(lower(btrim(data ->> 'status')), ' -', '__') as status,
        upper(btrim(data ->> 'reject_code')) as reject_code,
        translate(lower(btrim(data ->> 'priority')), ' -', '__') as priority,
        translate(lower(btrim(data ->> 'channel')), ' -', '__') as channel,
        translate(lower(btrim(data ->> 'service_level')), ' -', '__') as service_level,
        btrim(data ->> 'exception_code') as exception_code,
        btrim(data ->> 'lot_number') as lot_number,
        cast(nullif(btrim(data ->> 'quantity'), '') as numeric(19, 3)) as quantity,
        cast(cast(nullif(btrim(data ->> 'days_supply'), '') as numeric) as bigint) as days_supply,
        cast(nullif(btrim(data ->> 'copay_amount'), '') as numeric(18, 2)) as copay_amount,
        cast(nullif(btrim(data ->> 'plan_paid_amount'), '') as numeric(18, 2)) as plan_paid_amount,
        cast(nullif(btrim(data ->> 'minutes_out_of_range'), '') as numeric(19, 3))
            as minutes_out_of_range,
        cast(nullif(btrim(data ->> 'temperature_c'), '') as numeric(19, 3)) as temperature_c,
        cast(lower(data ->> 'cold_chain') as boolean) as cold_chain,
        cast(nullif(btrim(data ->> 'promised_delivery_at'), '') as timestamptz)
            as promised_delivery_at,
        cast(nullif(btrim(data ->> 'delivered_at'), '') as timestamptz) as delivered_at,
        upper(btrim(data -> 'patient' ->> 'state')) as state,
        left(btrim(data -> 'patient' ->> 'zip'), 3) as zip3,
        translate(lower(btrim(data -> 'patient' ->> 'gender')), ' -', '__') as gender,
        cast(left(btrim(data -> 'patient' ->> 'date_of_birth'), 4) as bigint) as born,
        btrim(data ->> 'ndc') as ndc,
        row_number() over (
            partition by messages.event_id order by messages.publish_time, messages.message_id
        ) as copy_number
    from (
        select *, cast(payload as jsonb) -> 'data' as data from pbm_bronze.raw_orders offset '0'
    ) as messages
) as copies
where copy_number = 1;

create unique index on by_hand.staged (event_id);
create index on by_hand.staged (order_id);

create table by_hand.events as
select
    event_id, order_id, payer_id, pharmacy_id, carrier_id, event_type, status, reject_code,
    exception_code, service_level, lot_number, source_system, copay_amount, plan_paid_amount,
    temperature_c, minutes_out_of_range, cold_chain,
    cast(event_timestamp at time zone 'UTC' as date) as event_date,
    event_timestamp, promised_delivery_at, delivered_at, publish_time
from by_hand.staged;

create unique index on by_hand.events (event_id);
create index on by_hand.events (order_id);

create table by_hand.orders as
with

placed as (

    select distinct on (order_id)
        order_id, patient_key, payer_id, pharmacy_id, priority, channel, quantity, days_supply,
        state, event_timestamp as placed_at,
        case
            when ndc ~ '^[0-9]{11}$' then ndc
            when ndc ~ '^[0-9]{4}-' then '0' || replace(ndc, '-', '')
            when ndc ~ '^[0-9]{5}-[0-9]{3}-' then left(ndc, 5) || '0' || substr(ndc, 7, 3) || right(ndc, 2)
            when ndc ~ '-[0-9]$' then left(ndc, 5) || substr(ndc, 7, 4) || '0' || right(ndc, 1)
            when ndc ~ '^[0-9]{5}-[0-9]{4}-' then replace(ndc, '-', '')
        end as ndc11,
        case when zip3 in (select zip3 from pbm_seeds.sparse_zip3s) then '000' else zip3 end as zip3
    from by_hand.staged
    where event_type = 'order_placed'
    order by order_id, event_timestamp, event_id collate "C"

),

shipped as (

    select distinct on (order_id)
        order_id, promised_delivery_at, carrier_id, service_level, cold_chain
    from by_hand.staged
    where event_type = 'order_shipped'
    order by order_id, event_timestamp, event_id collate "C"

),

approved as (

    select distinct on (order_id) order_id, copay_amount, plan_paid_amount
    from by_hand.staged
    where event_type = 'insurance_validation' and status = 'approved'
    order by order_id, event_timestamp desc, event_id collate "C" desc

),

rejected as (

    select distinct on (order_id) order_id, reject_code as first_reject_code
    from by_hand.staged
    where event_type = 'insurance_validation' and status = 'rejected'
    order by order_id, event_timestamp, event_id collate "C"

),

validated as (

    select distinct on (order_id) order_id, payer_id
    from by_hand.staged
    where event_type = 'insurance_validation' and payer_id is not null
    order by order_id, event_timestamp, event_id collate "C"

),

last_steps as (

    select distinct on (order_id)
        order_id,
        case
            when event_type = 'order_placed' then 'placed'
            when event_type = 'order_dispensed' then 'dispensed'
            when event_type = 'order_shipped' then 'shipped'
            when event_type = 'insurance_validation'
                then case when status in ('approved', 'rejected') then 'insurance_' || status
                    else 'insurance_pending' end
            when event_type = 'prior_authorization'
                then case when status in ('approved', 'denied') then 'prior_auth_' || status
                    else 'prior_auth_submitted' end
            when status in ('exception', 'attempt_fail', 'expired') then 'delivery_exception'
            when status = 'out_for_delivery' then status
            else 'in_transit'
        end as step
    from by_hand.staged
    where stage_rank is not null
    order by order_id, event_timestamp desc, stage_rank desc, event_id collate "C" desc

),

counted as (

    select
        order_id,
        min(event_timestamp) filter (where event_type = 'insurance_validation')
            as first_validated_at,
        min(event_timestamp) filter (
            where event_type = 'insurance_validation' and status = 'approved'
        ) as approved_at,
        min(event_timestamp) filter (
            where event_type = 'prior_authorization' and status = 'submitted'
        ) as prior_auth_submitted_at,
        min(event_timestamp) filter (
            where event_type = 'prior_authorization' and status in ('approved', 'denied')
        ) as prior_auth_decided_at,
        min(event_timestamp) filter (where event_type = 'order_dispensed') as dispensed_at,
        min(event_timestamp) filter (where event_type = 'order_shipped') as shipped_at,
        min(event_timestamp) filter (where event_type = 'order_cancelled') as cancelled_at,
        coalesce(
            min(coalesce(delivered_at, event_timestamp)) filter (
                where event_type = 'order_delivered'
            ),
            min(event_timestamp) filter (
                where event_type = 'shipment_scanned' and status = 'delivered'
            )
        ) as delivered_at,
        count(*) filter (where event_type = 'insurance_validation' and status = 'rejected')
            as rejection_count,
        count(*) filter (where event_type = 'prior_authorization') as authorisations,
        count(*) filter (where event_type = 'shipment_scanned' and status = 'attempt_fail')
            as delivery_attempts_failed,
        count(*) filter (where event_type = 'shipment_scanned' and status = 'exception')
            as exception_count,
        max(minutes_out_of_range) as minutes_out_of_range,
        count(*) as event_count,
        min(event_timestamp) as first_event_at,
        max(event_timestamp) as last_event_at
    from by_hand.staged
    group by order_id

)

select
    order_id, placed.patient_key, placed.ndc11,
    coalesce(placed.payer_id, validated.payer_id) as payer_id,
    placed.pharmacy_id, shipped.carrier_id, placed.priority, placed.channel, placed.quantity,
    placed.days_supply, placed.state, placed.zip3, shipped.service_level, shipped.cold_chain,
    case
        when counted.delivered_at is not null then 'delivered'
        when counted.cancelled_at is not null then 'cancelled'
        else last_steps.step
    end as current_status,
    counted.delivered_at is null and counted.cancelled_at is null as is_open,
    placed.placed_at, counted.first_validated_at, counted.approved_at,
    counted.prior_auth_submitted_at, counted.prior_auth_decided_at, counted.dispensed_at,
    counted.shipped_at, shipped.promised_delivery_at, counted.delivered_at, counted.cancelled_at,
    counted.first_event_at, counted.last_event_at,
    round(extract(epoch from counted.approved_at - placed.placed_at) / 3600, 4)
        as hours_placed_to_approved,
    round(extract(epoch from counted.dispensed_at - counted.approved_at) / 3600, 4)
        as hours_approved_to_dispensed,
    round(extract(epoch from counted.shipped_at - counted.dispensed_at) / 3600, 4)
        as hours_dispensed_to_shipped,
    round(extract(epoch from counted.delivered_at - counted.shipped_at) / 3600, 4)
        as hours_shipped_to_delivered,
    round(extract(epoch from counted.shipped_at - placed.placed_at) / 3600, 4)
        as hours_placed_to_shipped,
    round(extract(epoch from counted.delivered_at - placed.placed_at) / 3600, 4)
        as hours_placed_to_delivered,
    round((business_shipped.microseconds - business_placed.microseconds) / 3600000000.0, 4)
        as business_hours_placed_to_shipped,
    round((business_delivered.microseconds - business_placed.microseconds) / 3600000000.0, 4)
        as business_hours_placed_to_delivered,
    counted.rejection_count, rejected.first_reject_code, counted.delivery_attempts_failed,
    counted.exception_count,
    counted.rejection_count + counted.authorisations > 0 as needed_intervention,
    counted.delivered_at <= shipped.promised_delivery_at as is_on_time,
    counted.minutes_out_of_range,
    counted.minutes_out_of_range > 0 as has_temperature_excursion,
    approved.copay_amount, approved.plan_paid_amount, counted.event_count
from counted
left join placed using (order_id)
left join shipped using (order_id)
left join approved using (order_id)
left join rejected using (order_id)
left join validated using (order_id)
left join last_steps using (order_id)
left join lateral (
    select
        business_days_before * 86400000000 + case
            when is_business_day
                then cast(
                    extract(epoch from cast(placed.placed_at at time zone 'UTC' as time)) * 1000000 as bigint
                )
            else 0
        end as microseconds
    from pbm_gold.dim_dates
    where date_day = cast(placed.placed_at at time zone 'UTC' as date)
) as business_placed on true
left join lateral (
    select
        business_days_before * 86400000000 + case
            when is_business_day
                then cast(
                    extract(epoch from cast(counted.shipped_at at time zone 'UTC' as time)) * 1000000 as bigint
                )
            else 0
        end as microseconds
    from pbm_gold.dim_dates
    where date_day = cast(counted.shipped_at at time zone 'UTC' as date)
) as business_shipped on true
left join lateral (
    select
        business_days_before * 86400000000 + case
            when is_business_day
                then cast(
                    extract(epoch from cast(counted.delivered_at at time zone 'UTC' as time)) * 1000000 as bigint
                )
            else 0
        end as microseconds
    from pbm_gold.dim_dates
    where date_day = cast(counted.delivered_at at time zone 'UTC' as date)
) as business_delivered on true;

create unique index on by_hand.orders (order_id);
create index on by_hand.orders (placed_at);

create table by_hand.patients as
select distinct on (patient_key)
    patient_key,
    cast(patient_key_version as bigint) as patient_key_version,
    greatest(born, cast(extract(year from event_timestamp at time zone 'UTC') as bigint) - 90)
        as birth_year,
    gender,
    state,
    case when zip3 in (select zip3 from pbm_seeds.sparse_zip3s) then '000' else zip3 end as zip3,
    min(event_timestamp) over (partition by patient_key) as first_placement_at,
    event_timestamp as last_placement_at
from by_hand.staged
where event_type = 'order_placed' and patient_key is not null
order by patient_key, event_timestamp desc, event_id collate "C" desc;

create unique index on by_hand.patients (patient_key);

create table by_hand.days as
select
    cast(placed_at at time zone 'UTC' as date) as order_date,
    count(*) as orders_placed,
    count(approved_at) as orders_approved,
    count(*) filter (where rejection_count > 0) as orders_rejected,
    count(shipped_at) as orders_shipped,
    count(*) filter (where current_status = 'delivered') as orders_delivered,
    count(*) filter (where current_status = 'cancelled') as orders_cancelled,
    count(*) filter (where is_open) as orders_open,
    round(avg(hours_placed_to_delivered), 4) as avg_hours_placed_to_delivered,
    percentile_cont(0.5) within group (order by hours_placed_to_delivered)
        as p50_hours_placed_to_delivered,
    percentile_cont(0.9) within group (order by hours_placed_to_delivered)
        as p90_hours_placed_to_delivered,
    count(*) filter (where is_on_time) as on_time_deliveries,
    count(*) filter (where not is_on_time) as late_deliveries,
    round(cast(count(*) filter (where is_on_time) as numeric) / nullif(count(is_on_time), 0), 4)
        as on_time_rate,
    coalesce(sum(copay_amount), 0) as total_copay_amount,
    coalesce(sum(plan_paid_amount), 0) as total_plan_paid_amount
from by_hand.orders
where placed_at is not null
group by 1;

create table by_hand.stages as
select
    cast(order_stages.started_at at time zone 'UTC' as date) as stage_date,
    order_stages.stage,
    count(*) as orders_started,
    count(hours) as orders_completed,
    count(*) filter (where is_waiting) as orders_waiting,
    count(*) - count(hours) - count(*) filter (where is_waiting) as orders_left,
    percentile_cont(0.5) within group (order by hours) as p50_hours,
    percentile_cont(0.9) within group (order by hours) as p90_hours,
    count(*) filter (where hours > target_hours) as breaches,
    round(
        cast(count(*) filter (where hours <= target_hours) as numeric) / nullif(count(hours), 0), 4
    ) as within_target_rate,
    count(hours) filter (where not needed_intervention) as completed_clean,
    percentile_cont(0.5) within group (order by hours) filter (where not needed_intervention)
        as p50_hours_clean,
    percentile_cont(0.9) within group (order by hours) filter (where not needed_intervention)
        as p90_hours_clean,
    count(*) filter (where not needed_intervention and hours > target_hours) as breaches_clean,
    count(hours) filter (where needed_intervention) as completed_intervention,
    percentile_cont(0.5) within group (order by hours) filter (where needed_intervention)
        as p50_hours_intervention,
    percentile_cont(0.9) within group (order by hours) filter (where needed_intervention)
        as p90_hours_intervention,
    count(*) filter (where needed_intervention and hours > target_hours)
        as breaches_intervention,
    percentile_cont(0.5) within group (order by business_hours) as p50_business_hours,
    percentile_cont(0.9) within group (order by business_hours) as p90_business_hours,
    case when count(business_hours) > 0 then count(*) filter (where business_hours > target_hours)
        end as business_breaches,
    case
        when count(business_hours) > 0
            then count(*) filter (where not needed_intervention and business_hours > target_hours)
    end as business_breaches_clean
from (
    select *, case when priority in ('expedited', 'stat') then priority else 'standard' end as target
    from by_hand.orders
) as orders
cross join lateral (
    values
    ('placed_to_approved', placed_at, hours_placed_to_approved, cast(null as numeric),
        is_open and coalesce(approved_at, dispensed_at, shipped_at, delivered_at) is null),
    ('approved_to_dispensed', approved_at, hours_approved_to_dispensed, null,
        is_open and coalesce(dispensed_at, shipped_at, delivered_at) is null),
    ('dispensed_to_shipped', dispensed_at, hours_dispensed_to_shipped, null,
        is_open and coalesce(shipped_at, delivered_at) is null),
    ('shipped_to_delivered', shipped_at, hours_shipped_to_delivered, null,
        is_open and delivered_at is null),
    ('placed_to_shipped', placed_at, hours_placed_to_shipped, business_hours_placed_to_shipped,
        is_open and coalesce(shipped_at, delivered_at) is null),
    ('placed_to_delivered', placed_at, hours_placed_to_delivered,
        business_hours_placed_to_delivered, is_open and delivered_at is null)
) as order_stages (stage, started_at, hours, business_hours, is_waiting)
inner join pbm_seeds.stage_targets
    on stage_targets.stage = order_stages.stage and stage_targets.priority = orders.target
where order_stages.started_at is not null
group by 1, 2;

create table by_hand.carriers as
select
    cast(promised_delivery_at at time zone 'UTC' as date) as promised_date,
    carrier_id,
    count(*) as shipments,
    count(*) filter (where current_status = 'delivered') as shipments_delivered,
    count(*) filter (where current_status = 'cancelled') as shipments_cancelled,
    count(*) filter (where is_open) as shipments_open,
    count(*) filter (where is_on_time) as on_time_deliveries,
    count(*) filter (where not is_on_time) as late_deliveries,
    round(cast(count(*) filter (where is_on_time) as numeric) / nullif(count(is_on_time), 0), 4)
        as on_time_rate,
    percentile_cont(0.5) within group (order by hours_shipped_to_delivered)
        as p50_hours_shipped_to_delivered,
    percentile_cont(0.9) within group (order by hours_shipped_to_delivered)
        as p90_hours_shipped_to_delivered,
    cast(sum(delivery_attempts_failed) as bigint) as delivery_attempts_failed,
    cast(sum(exception_count) as bigint) as exception_count,
    count(*) filter (where cold_chain) as cold_chain_shipments,
    count(*) filter (where has_temperature_excursion) as temperature_excursions
from by_hand.orders
where promised_delivery_at is not null and carrier_id is not null
group by 1, 2;

create table by_hand.hours as
select
    publish_hour,
    cast(sum(accepted) as bigint) as accepted_count,
    cast(sum(refused) as bigint) as dead_letter_count,
    cast(sum(accepted) - sum(shown) as bigint) as duplicate_count,
    cast(sum(live) as bigint) as speed_event_count,
    cast(sum(shown) as bigint) as batch_event_count,
    cast(sum(live) - sum(shown) as bigint) as difference,
    max(arrived_at) as last_arrival_at
from (
    select
        date_trunc('hour', publish_time, 'UTC') as publish_hour,
        count(*) as accepted, 0 as refused, 0 as live, 0 as shown, max(ingested_at) as arrived_at
    from pbm_bronze.raw_orders
    group by 1
    union all
    select date_trunc('hour', publish_time, 'UTC'), 0, count(*), 0, 0, max(failed_at)
    from pbm_bronze.dead_letter_orders
    group by 1
    union all
    select date_trunc('hour', window_start, 'UTC'), 0, 0, sum(event_count), 0, max(emitted_at)
    from pbm_speed.live_order_metrics
    group by 1
    union all
    select date_trunc('hour', publish_time, 'UTC'), 0, 0, 0, count(*), null
    from by_hand.staged
    group by 1
) as counted
group by 1;
