{{ config(materialized='view') }}

with

messages as {{ inlined() }}(

    select * from {{ ref('stg_order_messages') }}

),

dead_letters as {{ inlined() }}(

    select * from {{ ref('stg_dead_letter_orders') }}

),

lifecycles as (

    select * from {{ ref('fact_order_lifecycle') }}

),

reconciliation as (

    select * from {{ ref('ingestion_reconciliation') }}

),

watermark as (

    select * from {{ ref('serving_watermark') }}

),

waiting as {{ inlined() }}(

    -- PostgreSQL takes a third of all rows to lie after an instant that it does
    -- not know, but few to lie between two, and then it reads them by the index
    select messages.*
    from messages
    where
        messages.ingested_at < {{ end_of_time() | indent(8) }}
        and messages.ingested_at > (
            select
                coalesce(
                    max(watermark.ingested_through),
                    {{ beginning_of_time() | indent(20) }}
                )
            from watermark
        )

),

one_row as (

    select 'serving' as status_id

),

status as (

    -- one question each, so that each is answered by an index
    select
        one_row.status_id,
        (select max(messages.publish_time) from messages) as last_published_at,
        (select max(messages.ingested_at) from messages) as last_ingested_at,
        (select max(lifecycles.last_event_at) from lifecycles)
            as last_built_event_at,
        (select max(waiting.event_timestamp) from waiting)
            as last_arriving_event_at,
        (select max(dead_letters.failed_at) from dead_letters)
            as last_dead_letter_at,
        (select max(watermark.ingested_through) from watermark)
            as ingested_through,
        (select max(watermark.moved_at) from watermark) as last_batch_at,
        (select count(*) from waiting) as waiting_count,
        (
            select count(*)
            from dead_letters
            where
                dead_letters.failed_at
                > {{ minutes_before('current_timestamp', 60) | indent(16) }}
        ) as recent_dead_letter_count,
        (select count(*) from reconciliation) as reconciled_hour_count,
        (
            select count(*)
            from reconciliation
            where reconciliation.difference != 0
        ) as differing_hour_count
    from one_row

)

select * from status
