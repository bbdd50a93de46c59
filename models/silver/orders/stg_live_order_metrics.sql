{{ config(materialized='view') }}

with source as (

    select * from {{ source('pbm_speed', 'live_order_metrics') }}

),

renamed as (

    select
        ---------- ids
        pane_id,

        ---------- what is counted
        event_type,
        state,
        status,
        event_count,

        ---------- timestamps
        window_start,
        window_end,
        emitted_at
    from source

)

select * from renamed
