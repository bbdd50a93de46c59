{{ config(materialized='view') }}

with

dead_letters as (

    select * from {{ ref('stg_dead_letter_orders') }}

),

hours as (

    select
        {{ utc_start_of('hour', 'failed_at') }} as failed_hour,
        error_type,
        count(*) as dead_letter_count,
        count(case when replay_count = 0 then 1 end) as waiting_count,
        max(failed_at) as last_failed_at
    from dead_letters
    group by {{ utc_start_of('hour', 'failed_at') }}, error_type

)

select * from hours
