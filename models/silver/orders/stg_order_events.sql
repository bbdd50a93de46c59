{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='event_id',
        on_schema_change='fail',
        indexes=[
            {'columns': ['event_id'], 'unique': true},
            {'columns': ['order_id']},
            {'columns': ['built_at']},
            {'columns': ['ingested_at']},
            {'columns': ['publish_minute']},
        ],
        partition_by={
            'field': 'event_timestamp',
            'data_type': 'timestamp',
            'granularity': 'month',
        },
        cluster_by=['order_id', 'event_id'],
    )
}}

with

received as (

    select * from {{ source('pbm_bronze', 'raw_orders') }}

),

source as (

    select received.* from received
    {%- if is_incremental() %}
    -- a transaction that began before the newest row may commit after it
    where
        received.ingested_at > coalesce(
            {{ minutes_before(
                newest(this, 'ingested_at'), var('late_commit_overlap_minutes')
            ) }},
            {{ beginning_of_time() }}
        )
        and not exists (
            select 1
            from {{ this }} as stored
            where
                stored.event_id = received.event_id
                and stored.message_id = received.message_id
        )
    {%- endif %}

),

renamed as (

    {{ parsed_order_events('source') | indent }}

),

copies as (

    select
        *,
        cast(null as {{ text_type() }}) as other_order_ids
    from renamed
    {%- if is_incremental() %}

    union all

    select
        {{ order_event_columns() | join(',\n        ') }},
        other_order_ids
    from {{ this }}
    where event_id in (select source.event_id from source)
    {%- endif %}

),

first_copies as (

    {{ first_copies('copies') | indent }}

),

build as (
    {%- if is_incremental() %}

    -- later than the build before, whatever the clocks say
    select
        greatest(
            {{ run_start() }},
            coalesce(
                {{ next_microsecond(newest(this, 'built_at')) }},
                {{ beginning_of_time() }}
            )
        ) as built_at
    {%- else %}

    select {{ run_start() }} as built_at
    {%- endif %}

),

changed as (

    select
        first_copies.*,
        {{ utc_start_of('minute', 'first_copies.publish_time') }}
            as publish_minute,
        build.built_at
    from first_copies
    cross join build
    {%- if is_incremental() %}
    left join {{ this }} as stored
        on first_copies.event_id = stored.event_id
    where
        stored.event_id is null
        or stored.message_id != first_copies.message_id
        or stored.other_order_ids is distinct from first_copies.other_order_ids
    {%- endif %}

)

select * from changed
