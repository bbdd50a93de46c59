{{ config(materialized='view') }}

with source as (

    select * from {{ source('pbm_bronze', 'raw_orders') }}

),

renamed as (

    select
        ---------- ids
        message_id,
        event_id,
        order_id,

        ---------- the event
        event_type,

        ---------- timestamps
        publish_time,
        ingested_at
    from source

)

select * from renamed
