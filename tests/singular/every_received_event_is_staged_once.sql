-- Nothing that ingestion accepted is lost on the way to silver, nothing is
-- there twice, and nothing is there that was never received. What came in
-- after silver was last written is the next build's work.
with

received as (

    select distinct event_id
    from {{ source('pbm_bronze', 'raw_orders') }}
    where
        ingested_at < (
            select max(events.built_at)
            from {{ ref('stg_order_events') }} as events
        )

),

staged as (

    select
        event_id,
        count(*) as row_count
    from {{ ref('stg_order_events') }}
    group by event_id

)

select
    coalesce(received.event_id, staged.event_id) as event_id,
    staged.row_count
from received
full outer join staged
    on received.event_id = staged.event_id
where
    received.event_id is null
    or staged.event_id is null
    or staged.row_count != 1
