{{ config(materialized='view') }}

with source as (

    select * from {{ source('pbm_bronze', 'dead_letter_orders') }}

),

renamed as (

    select
        ---------- ids
        message_id,

        ---------- the refusal
        error_type,
        error_message,
        cast(replay_count as {{ whole_number_type() }}) as replay_count,

        ---------- timestamps
        publish_time,
        failed_at,
        replayed_at
    from source

)

select * from renamed
