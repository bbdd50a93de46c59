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
            {'columns': ['patient_key']},
            {'columns': ['ingested_at']},
            {'columns': ['publish_minute']},
            {'columns': ['carrier_id']},
            {'columns': ['ndc11']},
            {'columns': ['payer_id']},
            {'columns': ['pharmacy_id']},
        ],
        partition_by={
            'field': 'event_timestamp',
            'data_type': 'timestamp',
            'granularity': 'month',
        },
        cluster_by=['order_id', 'event_id'],
    )
}}

{%- set claims = {
    'order_id': 'other_order_ids',
    'patient_key': 'other_patient_keys',
} %}

with

received as (

    select * from {{ source('pbm_bronze', 'raw_orders') }}

),

arrived as (

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

source as {{ inlined() if not is_incremental() else '' }}(

    {{ without_resent_rows('arrived', 'message_id', 'ingested_at') | indent }}

),
{%- if is_incremental() %}

stored_events as (

    select * from {{ this }}
    where event_id in (select source.event_id from source)

),
{%- endif %}

copies as {{ inlined() }}(

    select
        event_id,
        message_id,
        publish_time,
        order_id,
        case when event_type = 'order_placed' then patient_key end
            as patient_key
        {%- for others in claims.values() %},
        cast(null as {{ text_type() }}) as {{ others }}
        {%- endfor %}
    from source
    {%- if is_incremental() %}

    union all

    select
        event_id,
        message_id,
        publish_time
        {%- for column, others in claims.items() %},
        {{ column }}
        {%- endfor %}
        {%- for column, others in claims.items() %},
        {{ others }}
        {%- endfor %}
    from stored_events
    {%- endif %}

),

contested_events as (

    select event_id from copies
    group by event_id
    having count(*) > 1

),

contested_copies as (

    select copies.*
    from copies
    inner join contested_events
        on copies.event_id = contested_events.event_id

),
{%- for column, others in claims.items() %}

{{ others }} as (

    {{ losing_claims('contested_copies', column, others) | indent }}

),
{%- endfor %}

claims as (

    select
        contested_events.event_id
        {%- for others in claims.values() %},
        {{ others }}.{{ others }}
        {%- endfor %}
    from contested_events
    {%- for others in claims.values() %}
    left join {{ others }}
        on contested_events.event_id = {{ others }}.event_id
    {%- endfor %}

),

later_copies as (

    {{ later_copies('contested_copies') | indent }}

),

renamed as (

    {{ parsed_order_events('source', for_all=true) | indent }}

),

events as (

    select
        {%- for column in order_event_columns() %}
        renamed.{{ column }},
        {%- endfor %}
        {%- for others in claims.values() %}
        claims.{{ others }}{{ ',' if not loop.last }}
        {%- endfor %}
    from renamed
    left join later_copies
        on renamed.message_id = later_copies.message_id
    left join claims
        on renamed.event_id = claims.event_id
    where later_copies.message_id is null
    {%- if is_incremental() %}

    union all

    -- the copy still counts, and another one names what none named before
    select
        {%- for column in order_event_columns() %}
        stored_events.{{ column }},
        {%- endfor %}
        {%- for others in claims.values() %}
        claims.{{ others }}{{ ',' if not loop.last }}
        {%- endfor %}
    from stored_events
    inner join claims
        on stored_events.event_id = claims.event_id
    left join later_copies
        on stored_events.message_id = later_copies.message_id
    where
        later_copies.message_id is null
        and (
            {%- for others in claims.values() %}
            {{ 'or ' if not loop.first -}}
            stored_events.{{ others }} is distinct from claims.{{ others }}
            {%- endfor %}
        )
    {%- endif %}

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
        events.*,
        {{ utc_start_of('minute', 'events.publish_time') }} as publish_minute,
        build.built_at
    from events
    cross join build

)

select * from changed
