{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key=['promised_date', 'carrier_id'],
        on_schema_change='fail',
        indexes=[
            {'columns': ['promised_date', 'carrier_id'], 'unique': true},
            {'columns': ['source_built_at']},
        ],
        partition_by={
            'field': 'promised_date',
            'data_type': 'date',
            'granularity': 'month',
        },
        cluster_by=['carrier_id'],
        pre_hook="{{ delete_days_without_orders(
            'promised_date',
            'promised_delivery_at',
            'orders.carrier_id = built_days.carrier_id',
        ) }}",
    )
}}

with

lifecycles as {{ inlined() }}(

    select * from {{ ref('fact_order_lifecycle') }}

),

reached as (

    select max(source_built_at) as source_built_at from lifecycles

),

all_shipments as {{ inlined() }}(

    select * from lifecycles
    where
        promised_delivery_at is not null
        and carrier_id is not null

),
{%- if is_incremental() %}

touched_days as (

    {{ touched_days(
        'all_shipments', 'promised_delivery_at', 'promised_date', 'shipments'
    ) | indent }}

),
{%- endif %}

shipments as (

    select
        all_shipments.*,
        {{ utc_date('all_shipments.promised_delivery_at') }} as promised_date
    from all_shipments
    {%- if is_incremental() %}
    inner join touched_days
        on {{ is_on_utc_day(
            'all_shipments.promised_delivery_at', 'touched_days.touched_date'
        ) | indent(8) }}
    {%- endif %}

),

daily_shipments as (

    select
        promised_date,
        carrier_id,
        count(*) as shipments,
        count(case when current_status = 'delivered' then 1 end)
            as shipments_delivered,
        count(case when current_status = 'cancelled' then 1 end)
            as shipments_cancelled,
        count(case when is_open then 1 end) as shipments_open,
        count(case when is_on_time then 1 end) as on_time_deliveries,
        count(case when not is_on_time then 1 end) as late_deliveries,
        cast(sum(delivery_attempts_failed) as {{ whole_number_type() }})
            as delivery_attempts_failed,
        cast(sum(exception_count) as {{ whole_number_type() }})
            as exception_count,
        count(case when cold_chain then 1 end) as cold_chain_shipments,
        count(case when has_temperature_excursion then 1 end)
            as temperature_excursions,
        {{ sorted_values('hours_shipped_to_delivered') | indent(8) }}
            as sorted_hours
    from shipments
    group by promised_date, carrier_id

),

performance as (

    select
        daily_shipments.promised_date,
        daily_shipments.carrier_id,

        ---------- volumes
        daily_shipments.shipments,
        daily_shipments.shipments_delivered,
        daily_shipments.shipments_cancelled,
        daily_shipments.shipments_open,

        ---------- the promise
        daily_shipments.on_time_deliveries,
        daily_shipments.late_deliveries,
        cast(
            {{ rounded_quotient(
                'daily_shipments.on_time_deliveries',
                'nullif(daily_shipments.on_time_deliveries'
                ~ ' + daily_shipments.late_deliveries, 0)',
                4
            ) | indent(12) }} as numeric(5, 4)
        ) as on_time_rate,
        {{ hours_percentiles(
            'daily_shipments.sorted_hours', 'hours_shipped_to_delivered'
        ) | indent(8) }}

        ---------- what happened on the way
        daily_shipments.delivery_attempts_failed,
        daily_shipments.exception_count,
        daily_shipments.cold_chain_shipments,
        daily_shipments.temperature_excursions,
        reached.source_built_at
    from daily_shipments
    cross join reached

)

select * from performance
