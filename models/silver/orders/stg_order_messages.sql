{{ config(materialized='view') }}

-- no CTE: PostgreSQL finds a row by an index for a join with a view only
-- where the view has none
select
    ---------- ids
    message_id,
    event_id,
    order_id,

    ---------- the event
    event_type,

    ---------- timestamps
    event_timestamp,
    publish_time,
    ingested_at
from {{ source('pbm_bronze', 'raw_orders') }}
