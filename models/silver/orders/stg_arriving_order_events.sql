{{ config(materialized='view') }}

with

received as {{ inlined() }}(

    select * from {{ source('pbm_bronze', 'raw_orders') }}

),

source as (

    {{ waiting_messages('received') | indent }}

),

renamed as (

    {{ parsed_order_events('source') | indent }}

)

select * from renamed
