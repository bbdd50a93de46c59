{{ config(materialized='view') }}

with

received as {{ inlined() }}(

    select * from {{ source('pbm_bronze', 'raw_orders') }}

),

waiting as (

    {{ waiting_messages('received') | indent }}

),

source as (

    {{ without_resent_rows('waiting', 'message_id', 'ingested_at') | indent }}

),

renamed as (

    {{ parsed_order_events('source') | indent }}

)

select * from renamed
