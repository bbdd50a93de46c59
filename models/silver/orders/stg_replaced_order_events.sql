{{ config(materialized='view') }}

with

received as (

    select * from {{ source('pbm_bronze', 'raw_orders') }}

),

replaced as (

    select
        received.*,
        shown.ingested_at as replacement_ingested_at
    from received
    inner join {{ ref('stg_order_events') }} as shown
        on received.event_id = shown.event_id
    where
        received.ingested_at < shown.ingested_at
        and {{ comes_before('shown', 'received') | indent(8) }}

),

source as (

    {{ without_resent_rows('replaced', 'message_id', 'ingested_at') | indent }}

),

renamed as (

    {{ parsed_order_events('source', also=['replacement_ingested_at'])
        | indent }}

)

select * from renamed
