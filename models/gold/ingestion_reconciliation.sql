{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='publish_hour',
        on_schema_change='fail',
        indexes=[
            {'columns': ['publish_hour'], 'unique': true},
            {'columns': ['last_arrival_at']},
        ],
        partition_by={
            'field': 'publish_hour',
            'data_type': 'timestamp',
            'granularity': 'month',
        },
    )
}}

with

messages as {{ inlined() }}(

    select * from {{ ref('stg_order_messages') }}

),

dead_letters as {{ inlined() }}(

    select * from {{ ref('stg_dead_letter_orders') }}

),

panes as {{ inlined() }}(

    select * from {{ ref('stg_live_order_metrics') }}

),

events as {{ inlined() }}(

    select * from {{ ref('stg_order_events') }}

),

waiting as (

    {{ waiting_messages('messages') | indent }}

),

horizon as (

    -- ingestion goes on while this is built: all counts end where the first
    -- event came in that silver does not show yet
    select coalesce(min(ingested_at), {{ end_of_time() }}) as ends_before
    from waiting

),
{%- if is_incremental() %}
{%- set arrived_after -%}
coalesce(
    {{ minutes_before(
        newest(this, 'last_arrival_at'), var('late_commit_overlap_minutes')
    ) }},
    {{ beginning_of_time() }}
)
{%- endset %}
{%- set touched_since = earliest(
    'publish_hour', touched_publish_hours(arrived_after)
) %}

touched_hours as (

    select touched.*
    from (
        {{ touched_publish_hours(arrived_after) | indent(8) }}
    ) as touched
    {%- if touched_since is not none %}
    -- what has come in since the hour was asked for is for the next build
    where touched.publish_hour >= {{ touched_since }}
    {%- endif %}

),
{%- endif %}

counted_messages as (

    select messages.*
    from messages
    {%- if is_incremental() %}
    inner join touched_hours
        on
            messages.publish_time >= touched_hours.publish_hour
            and messages.publish_time
            < {{ minutes_before('touched_hours.publish_hour', -60) }}
    {%- endif %}
    where
        messages.ingested_at < (select horizon.ends_before from horizon)
        {%- if is_incremental() and touched_since is not none %}
        and messages.publish_time >= {{ touched_since }}
        {%- endif %}

),

accepted_messages as (

    {{ without_resent_rows('counted_messages', 'message_id', 'ingested_at')
        | indent }}

),

message_counts as (

    select
        {{ utc_start_of('hour', 'accepted_messages.publish_time') }}
            as publish_hour,
        count(*) as accepted_count,
        count(
            case
                when
                    {{ comes_before('shown', 'accepted_messages')
                        | indent(20) }}
                    then 1
            end
        ) as duplicate_count,
        max(accepted_messages.ingested_at) as last_arrival_at
    from accepted_messages
    left join events as shown
        on accepted_messages.event_id = shown.event_id
    group by {{ utc_start_of('hour', 'accepted_messages.publish_time') }}

),

dead_letter_counts as (

    select
        {{ utc_start_of('hour', 'dead_letters.publish_time') }}
            as publish_hour,
        count(*) as dead_letter_count,
        max(dead_letters.failed_at) as last_arrival_at
    from dead_letters
    {%- if is_incremental() %}
    inner join touched_hours
        on
            dead_letters.publish_time >= touched_hours.publish_hour
            and dead_letters.publish_time
            < {{ minutes_before('touched_hours.publish_hour', -60) }}
    {%- endif %}
    where dead_letters.failed_at < (select horizon.ends_before from horizon)
    group by {{ utc_start_of('hour', 'dead_letters.publish_time') }}

),

speed_counts as (

    select
        {{ utc_start_of('hour', 'panes.window_start') }} as publish_hour,
        cast(sum(panes.event_count) as {{ whole_number_type() }})
            as speed_event_count,
        max(panes.emitted_at) as last_arrival_at
    from panes
    {%- if is_incremental() %}
    inner join touched_hours
        on
            panes.window_start >= touched_hours.publish_hour
            and panes.window_start
            < {{ minutes_before('touched_hours.publish_hour', -60) }}
    {%- endif %}
    where panes.emitted_at < (select horizon.ends_before from horizon)
    group by {{ utc_start_of('hour', 'panes.window_start') }}

),

batch_counts as (

    select
        {{ utc_start_of('hour', 'events.publish_minute') }} as publish_hour,
        count(*) as batch_event_count
    from events
    {%- if is_incremental() %}
    inner join touched_hours
        on
            events.publish_minute >= touched_hours.publish_hour
            and events.publish_minute
            < {{ minutes_before('touched_hours.publish_hour', -60) }}
    {%- endif %}
    where
        events.ingested_at < (select horizon.ends_before from horizon)
        {%- if is_incremental() and touched_since is not none %}
        and events.publish_minute >= {{ touched_since }}
        {%- endif %}
    group by {{ utc_start_of('hour', 'events.publish_minute') }}

),

counts as (

    {%- for counted, columns in {
        'message_counts':
            ['accepted_count', 'duplicate_count', 'last_arrival_at'],
        'dead_letter_counts': ['dead_letter_count', 'last_arrival_at'],
        'speed_counts': ['speed_event_count', 'last_arrival_at'],
        'batch_counts': ['batch_event_count'],
    }.items() %}

    select
        publish_hour,
        {%- for column in [
            'accepted_count', 'dead_letter_count', 'duplicate_count',
            'speed_event_count', 'batch_event_count',
        ] %}
        {{ column if column in columns else '0 as ' ~ column }},
        {%- endfor %}
        {{
            'last_arrival_at' if 'last_arrival_at' in columns
            else 'cast(null as ' ~ timestamp_type() ~ ') as last_arrival_at'
        }}
    from {{ counted }}
    {%- if not loop.last %}

    union all
    {%- endif %}
    {%- endfor %}

),

hours as (

    select
        publish_hour,
        {%- for column in [
            'accepted_count', 'dead_letter_count', 'duplicate_count',
            'speed_event_count', 'batch_event_count',
        ] %}
        cast(sum({{ column }}) as {{ whole_number_type() }}) as {{ column }},
        {%- endfor %}
        cast(
            sum(speed_event_count) - sum(batch_event_count)
            as {{ whole_number_type() }}
        ) as difference,
        max(last_arrival_at) as last_arrival_at
    from counts
    group by publish_hour

)

select * from hours
