"""Every SQL statement of the dashboards, in the words that both warehouses understand.

A statement binds its values as ``@name``; nothing is ever put into its text. It reads gold and the
serving views only, which is all that the dashboards' login may. Arithmetic with times is done in
Python, because that is where the warehouses' words differ; percentiles are counted by rank.
"""

import re
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Query:
    """One statement.

    Attributes:
        name: What it answers.
        sql: The statement.
        binds: The type of each value that it binds: text, integer, timestamp or date.
    """

    name: str
    sql: str = field(repr=False)
    binds: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a name that the statement and ``binds`` do not share."""
        named = set(re.findall(r"@(\w+)", self.sql))
        if named != set(self.binds):
            raise ValueError(f"{self.name}: {named ^ set(self.binds)}")


STATUS: Final = Query(
    "How fresh everything is",
    """
select
    last_published_at,
    last_ingested_at,
    last_built_event_at,
    last_arriving_event_at,
    last_dead_letter_at,
    ingested_through,
    last_batch_at,
    waiting_count,
    recent_dead_letter_count,
    reconciled_hour_count,
    differing_hour_count,
    current_timestamp as observed_at
from pbm_serving.serving_status
""",
)

# ------------------------------------------------------------------------------------------ Now

OPEN_ORDERS: Final = Query(
    "Open orders by status",
    """
select
    current_status,
    count(*) as order_count,
    count(case when is_live then 1 end) as live_count
from pbm_serving.order_status_now
where is_open
group by current_status
order by order_count desc, current_status asc
""",
)

TODAY: Final = Query(
    "What happened today",
    """
select
    count(case when placed_at >= @today then 1 end) as placed,
    count(case when shipped_at >= @today then 1 end) as shipped,
    count(case when delivered_at >= @today then 1 end) as delivered
from pbm_serving.order_status_now
where placed_at >= @today or shipped_at >= @today or delivered_at >= @today
""",
    {"today": "timestamp"},
)

DAYS: Final = Query(
    "The last days, by day of placement",
    """
select
    order_date,
    orders_placed,
    orders_shipped,
    orders_delivered,
    orders_open,
    on_time_deliveries,
    late_deliveries,
    on_time_rate
from pbm_gold.daily_order_summary
where order_date >= @first_day
order by order_date asc
""",
    {"first_day": "date"},
)

ENDED: Final = Query(
    "Orders shipped and delivered, by the day on which they were",
    """
select 'shipped' as milestone, cast(shipped_at as date) as day, count(*) as order_count
from pbm_gold.fact_order_lifecycle
where shipped_at >= @since
group by cast(shipped_at as date)
union all
select 'delivered' as milestone, cast(delivered_at as date) as day, count(*) as order_count
from pbm_gold.fact_order_lifecycle
where delivered_at >= @since
group by cast(delivered_at as date)
order by milestone asc, day asc
""",
    {"since": "timestamp"},
)

PROMISES: Final = Query(
    "Promises kept by promised day",
    """
select
    promised_date,
    sum(on_time_deliveries) as on_time_deliveries,
    sum(late_deliveries) as late_deliveries
from pbm_gold.carrier_performance_daily
where promised_date >= @first_day and promised_date <= @last_day
group by promised_date
order by promised_date asc
""",
    {"first_day": "date", "last_day": "date"},
)

# The median is the middle one, or the mean of the middle two; the 90th percentile the first that
# nine in ten do not exceed.
CLOCKS: Final = Query(
    "Both turnaround clocks",
    """
with recent as (
    select
        priority,
        needed_intervention,
        shipped_at,
        delivered_at,
        hours_placed_to_shipped,
        business_hours_placed_to_shipped,
        hours_placed_to_delivered,
        business_hours_placed_to_delivered
    from pbm_serving.order_status_now
    where shipped_at >= @since or delivered_at >= @since
),
ended as (
    select
        'placed_to_shipped' as stage,
        coalesce(priority, 'standard') as priority,
        needed_intervention,
        hours_placed_to_shipped as hours,
        business_hours_placed_to_shipped as business_hours
    from recent
    where shipped_at >= @since and hours_placed_to_shipped is not null
    union all
    select
        'placed_to_delivered' as stage,
        coalesce(priority, 'standard') as priority,
        needed_intervention,
        hours_placed_to_delivered as hours,
        business_hours_placed_to_delivered as business_hours
    from recent
    where delivered_at >= @since and hours_placed_to_delivered is not null
),
ranked as (
    select
        ended.stage,
        ended.needed_intervention,
        ended.hours,
        ended.business_hours,
        coalesce(targets.target_hours, standard.target_hours) as target_hours,
        row_number() over (partition by ended.stage order by ended.hours asc) as place,
        count(*) over (partition by ended.stage) as places
    from ended
    left join pbm_gold.dim_stage_targets as targets
        on ended.stage = targets.stage and ended.priority = targets.priority
    inner join pbm_gold.dim_stage_targets as standard
        on ended.stage = standard.stage and standard.priority = 'standard'
)
select
    stage,
    count(*) as order_count,
    avg(case when place = div(places + 1, 2) or place = div(places + 2, 2) then hours end)
        as p50_hours,
    min(case when place * 10 >= places * 9 then hours end) as p90_hours,
    count(case when hours <= target_hours then 1 end) as within_count,
    count(case when not needed_intervention then 1 end) as clean_count,
    count(case when not needed_intervention and business_hours <= target_hours then 1 end)
        as clean_within_count
from ranked
group by stage
""",
    {"since": "timestamp"},
)

STAGE_DAYS: Final = Query(
    "Hours and breaches of each stage by day",
    """
select
    stage_date,
    stage,
    orders_started,
    orders_completed,
    orders_waiting,
    p50_hours,
    p90_hours,
    breaches,
    within_target_rate
from pbm_gold.fulfillment_stage_daily
where stage_date >= @first_day and stage_date <= @last_day
order by stage_date asc, stage asc
""",
    {"first_day": "date", "last_day": "date"},
)

ACTIVITY: Final = Query(
    "Events by minute",
    """
select
    window_start,
    is_live,
    sum(event_count) as event_count
from pbm_serving.order_activity_by_minute
where window_start >= @since
group by window_start, is_live
order by window_start asc, is_live asc
""",
    {"since": "timestamp"},
)

TARGETS: Final = Query(
    "Targets of the stages",
    """
select stage, priority, target_hours, target_source, note
from pbm_gold.dim_stage_targets
order by stage asc, priority asc
""",
)

# ------------------------------------------------------------------------------------------ Act

ALERT_COUNTS: Final = Query(
    "Alerts by severity",
    """
select
    severity,
    stage,
    alert_type,
    count(*) as alert_count,
    max(as_of) as as_of
from pbm_gold.order_alerts
group by severity, stage, alert_type
""",
)

# A filter is a list between commas; an empty one lets everything through.
ALERTS: Final = Query(
    "The alert queue",
    """
select
    alerts.order_id,
    alerts.severity,
    alerts.alert_type,
    alerts.all_alert_types,
    alerts.explanation,
    alerts.stage,
    alerts.obstacle,
    alerts.priority,
    alerts.current_status,
    alerts.overdue_hours,
    alerts.hours_in_stage,
    alerts.stage_started_at,
    alerts.expected_by,
    alerts.promised_delivery_at,
    alerts.last_event_at,
    alerts.as_of,
    coalesce(drugs.brand_name, alerts.ndc11) as drug,
    coalesce(payers.payer_name, alerts.payer_id) as payer,
    coalesce(pharmacies.pharmacy_name, alerts.pharmacy_id) as pharmacy,
    coalesce(carriers.carrier_name, alerts.carrier_id) as carrier,
    count(*) over () as matching_count
from pbm_gold.order_alerts as alerts
left join pbm_gold.dim_drugs as drugs on alerts.ndc11 = drugs.ndc11
left join pbm_gold.dim_payers as payers on alerts.payer_id = payers.payer_id
left join pbm_gold.dim_pharmacies as pharmacies on alerts.pharmacy_id = pharmacies.pharmacy_id
left join pbm_gold.dim_carriers as carriers on alerts.carrier_id = carriers.carrier_id
where
    (@severities = '' or strpos(@severities, concat(',', alerts.severity, ',')) > 0)
    and (@stages = '' or strpos(@stages, concat(',', alerts.stage, ',')) > 0)
    and (@priorities = '' or strpos(@priorities, concat(',', alerts.priority, ',')) > 0)
order by
    case alerts.severity when 'critical' then 1 when 'late' then 2 else 3 end asc,
    case alerts.priority when 'stat' then 1 when 'expedited' then 2 else 3 end asc,
    alerts.overdue_hours desc,
    alerts.order_id asc
limit @most
""",
    {"severities": "text", "stages": "text", "priorities": "text", "most": "integer"},
)

STUCK: Final = Query(
    "Open orders by status and by how long nothing has happened",
    """
select
    current_status,
    count(case when last_event_at > @a_day_ago then 1 end) as under_a_day,
    count(case when last_event_at <= @a_day_ago and last_event_at > @three_days_ago then 1 end)
        as days_1_to_3,
    count(case when last_event_at <= @three_days_ago and last_event_at > @a_week_ago then 1 end)
        as days_3_to_7,
    count(case when last_event_at <= @a_week_ago then 1 end) as over_a_week
from pbm_serving.order_status_now
where is_open
group by current_status
""",
    {"a_day_ago": "timestamp", "three_days_ago": "timestamp", "a_week_ago": "timestamp"},
)

# -------------------------------------------------------------------------------- Order journey

ORDER: Final = Query(
    "An order as of this second",
    """
select
    orders.order_id,
    orders.patient_key,
    orders.priority,
    orders.channel,
    orders.quantity,
    orders.days_supply,
    orders.state,
    orders.service_level,
    orders.cold_chain,
    orders.current_status,
    orders.is_open,
    orders.placed_at,
    orders.first_validated_at,
    orders.approved_at,
    orders.prior_auth_submitted_at,
    orders.prior_auth_decided_at,
    orders.dispensed_at,
    orders.shipped_at,
    orders.promised_delivery_at,
    orders.delivered_at,
    orders.cancelled_at,
    orders.first_event_at,
    orders.last_event_at,
    orders.hours_placed_to_approved,
    orders.hours_approved_to_dispensed,
    orders.hours_dispensed_to_shipped,
    orders.hours_shipped_to_delivered,
    orders.hours_placed_to_shipped,
    orders.hours_placed_to_delivered,
    orders.rejection_count,
    orders.first_reject_code,
    orders.needed_intervention,
    orders.is_on_time,
    orders.minutes_out_of_range,
    orders.copay_amount,
    orders.event_count,
    orders.quality_flags,
    orders.is_live,
    coalesce(drugs.brand_name, orders.ndc11) as drug,
    drugs.generic_name,
    drugs.therapeutic_area,
    coalesce(payers.payer_name, orders.payer_id) as payer,
    coalesce(pharmacies.pharmacy_name, orders.pharmacy_id) as pharmacy,
    coalesce(carriers.carrier_name, orders.carrier_id) as carrier,
    reject_codes.description as reject_description
from pbm_serving.order_status_now as orders
left join pbm_gold.dim_drugs as drugs on orders.ndc11 = drugs.ndc11
left join pbm_gold.dim_payers as payers on orders.payer_id = payers.payer_id
left join pbm_gold.dim_pharmacies as pharmacies on orders.pharmacy_id = pharmacies.pharmacy_id
left join pbm_gold.dim_carriers as carriers on orders.carrier_id = carriers.carrier_id
left join pbm_gold.dim_reject_codes as reject_codes
    on orders.first_reject_code = reject_codes.reject_code
where orders.order_id = @order_id
""",
    {"order_id": "text"},
)

ORDER_EVENTS: Final = Query(
    "The events of an order",
    """
select
    events.event_id,
    events.event_type,
    events.stage,
    events.stage_rank,
    events.status,
    events.reject_code,
    events.exception_code,
    events.source_system,
    events.temperature_c,
    events.minutes_out_of_range,
    events.event_timestamp,
    events.promised_delivery_at,
    events.publish_time,
    events.quality_flags,
    events.is_live,
    coalesce(carriers.carrier_name, events.carrier_id) as carrier,
    reject_codes.description as reject_description,
    reject_codes.actor as reject_actor
from pbm_serving.order_events_now as events
left join pbm_gold.dim_carriers as carriers on events.carrier_id = carriers.carrier_id
left join pbm_gold.dim_reject_codes as reject_codes
    on events.reject_code = reject_codes.reject_code
where events.order_id = @order_id
order by events.event_timestamp asc, events.stage_rank asc, events.event_id asc
""",
    {"order_id": "text"},
)

ORDER_ALERT: Final = Query(
    "The alert of an order",
    """
select
    severity, alert_type, explanation, stage, obstacle, stage_started_at,
    target_hours, usual_hours, overdue_hours, expected_by, as_of
from pbm_gold.order_alerts
where order_id = @order_id
""",
    {"order_id": "text"},
)

SOME_ORDERS: Final = Query(
    "Orders to begin with",
    """
select order_id, current_status, last_event_at
from pbm_gold.fact_order_lifecycle
where last_event_at >= @since
order by last_event_at desc
limit 5
""",
    {"since": "timestamp"},
)

# ----------------------------------------------------------------------------------------- Flow

FUNNEL: Final = Query(
    "How far the orders of a period came, and the insurance's answers",
    """
select
    count(*) as placed,
    count(approved_at) as approved,
    count(dispensed_at) as dispensed,
    count(shipped_at) as shipped,
    count(delivered_at) as delivered,
    count(case when current_status = 'cancelled' then 1 end) as cancelled,
    count(case when is_open then 1 end) as still_open,
    count(case when approved_at is not null or rejection_count > 0 then 1 end) as answered,
    count(case when approved_at is not null and rejection_count = 0 then 1 end) as first_pass,
    count(case when rejection_count > 0 then 1 end) as rejected,
    count(case when rejection_count > 0 and approved_at is not null then 1 end)
        as approved_later,
    count(case when needed_intervention then 1 end) as interventions,
    count(prior_auth_submitted_at) as prior_auths,
    count(prior_auth_decided_at) as prior_auths_decided
from pbm_gold.fact_order_lifecycle
where placed_at >= @since and placed_at < @until
""",
    {"since": "timestamp", "until": "timestamp"},
)

REJECTS: Final = Query(
    "First rejections by code",
    """
select
    orders.first_reject_code as reject_code,
    coalesce(reject_codes.description, 'Not in the list') as description,
    coalesce(reject_codes.actor, 'unknown') as actor,
    count(*) as order_count,
    count(orders.approved_at) as approved_later,
    count(case when orders.is_open and orders.approved_at is null then 1 end) as waiting
from pbm_gold.fact_order_lifecycle as orders
left join pbm_gold.dim_reject_codes as reject_codes
    on orders.first_reject_code = reject_codes.reject_code
where
    orders.placed_at >= @since
    and orders.placed_at < @until
    and orders.rejection_count > 0
group by orders.first_reject_code, reject_codes.description, reject_codes.actor
order by order_count desc, reject_code asc
""",
    {"since": "timestamp", "until": "timestamp"},
)

CARRIERS: Final = Query(
    "Carriers: promises kept and trouble",
    """
select
    days.carrier_id,
    coalesce(carriers.carrier_name, days.carrier_id) as carrier,
    carriers.published_on_time_rate,
    carriers.published_on_time_rate_source,
    sum(days.shipments) as shipments,
    sum(days.shipments_open) as shipments_open,
    sum(days.on_time_deliveries) as on_time_deliveries,
    sum(days.late_deliveries) as late_deliveries,
    sum(days.delivery_attempts_failed) as attempts_failed,
    sum(days.exception_count) as exceptions,
    sum(days.cold_chain_shipments) as cold_chain_shipments,
    sum(days.temperature_excursions) as temperature_excursions
from pbm_gold.carrier_performance_daily as days
left join pbm_gold.dim_carriers as carriers on days.carrier_id = carriers.carrier_id
where days.promised_date >= @first_day and days.promised_date <= @last_day
group by
    days.carrier_id,
    carriers.carrier_name,
    carriers.published_on_time_rate,
    carriers.published_on_time_rate_source
order by shipments desc
""",
    {"first_day": "date", "last_day": "date"},
)

STATES: Final = Query(
    "Orders by state",
    """
select
    state,
    count(*) as order_count,
    count(case when is_open then 1 end) as open_count,
    count(case when is_on_time then 1 end) as on_time_count,
    count(case when not is_on_time then 1 end) as late_count
from pbm_gold.fact_order_lifecycle
where placed_at >= @since and placed_at < @until and state is not null
group by state
order by order_count desc, state asc
""",
    {"since": "timestamp", "until": "timestamp"},
)

# ---------------------------------------------------------------------------------- Data health

RECONCILIATION: Final = Query(
    "What became of the messages, by hour",
    """
select
    publish_hour,
    accepted_count,
    dead_letter_count,
    duplicate_count,
    speed_event_count,
    batch_event_count,
    difference
from pbm_gold.ingestion_reconciliation
order by publish_hour desc
limit @most
""",
    {"most": "integer"},
)

DEAD_LETTERS: Final = Query(
    "Dead letters by reason",
    """
select
    error_type,
    sum(dead_letter_count) as dead_letter_count,
    sum(waiting_count) as waiting_count,
    max(last_failed_at) as last_failed_at
from pbm_serving.serving_dead_letters
where failed_hour >= @since
group by error_type
order by dead_letter_count desc, error_type asc
""",
    {"since": "timestamp"},
)

BUILD: Final = Query(
    "How the last build ended",
    """
select
    resource_type,
    result,
    count(*) as node_count,
    max(run_started_at) as run_started_at
from pbm_serving.serving_build_results
where run_started_at >= @since
group by resource_type, result
order by resource_type asc, result asc
""",
    {"since": "timestamp"},
)

BUILD_RUN: Final = Query(
    "When the last build began",
    """
select max(run_started_at) as run_started_at
from pbm_serving.serving_build_results
""",
)

BUILD_TROUBLE: Final = Query(
    "What did not pass in the last build",
    """
select node, resource_type, tested, result, failure_count, run_started_at
from pbm_serving.serving_build_results
where run_started_at >= @since and result not in ('success', 'pass')
order by case result when 'error' then 1 when 'fail' then 2 when 'warn' then 3 else 4 end asc,
    node asc
limit 50
""",
    {"since": "timestamp"},
)


# ------------------------------------------------------------------------- Patient satisfaction

# Small cells are suppressed in the mart: no query here reads single answers.
SATISFACTION_DAYS: Final = Query(
    "Satisfaction by day",
    """
select
    response_date,
    is_suppressed,
    response_count,
    net_promoter_score,
    net_promoter_score_low,
    net_promoter_score_high,
    satisfied_rate,
    satisfied_rate_low,
    satisfied_rate_high,
    response_rate
from pbm_gold.patient_satisfaction_daily
where dimension = 'all' and window_days = @window_days
order by response_date desc
limit 365
""",
    {"window_days": "integer"},
)

SATISFACTION_CELLS: Final = Query(
    "Satisfaction by lateness, carrier, drug area and intervention",
    """
select
    cells.dimension,
    coalesce(carriers.carrier_name, cells.dimension_value) as dimension_value,
    cells.is_suppressed,
    cells.response_count,
    cells.net_promoter_score,
    cells.net_promoter_score_low,
    cells.net_promoter_score_high
from pbm_gold.patient_satisfaction_daily as cells
left join pbm_gold.dim_carriers as carriers
    on cells.dimension = 'carrier' and cells.dimension_value = carriers.carrier_id
where
    cells.dimension != 'all'
    and cells.window_days = @window_days
    and cells.response_date = @response_date
order by cells.dimension asc, dimension_value asc
""",
    {"window_days": "integer", "response_date": "date"},
)


def all_queries() -> list[Query]:
    """Every statement of this module."""
    return [value for value in globals().values() if isinstance(value, Query)]
