{{
    config(
        materialized='table',
        indexes=[{'columns': ['payer_id'], 'unique': true}],
    )
}}

with

payers as (

    select * from {{ ref('payers') }}

),

named_payers as (

    {{ distinct_values(ref('stg_order_events'), 'payer_id') | indent }}

),

listed_payers as (

    select
        payer_id,
        payer_name,
        payer_type,
        true as is_listed
    from payers

),

unlisted_payers as (

    -- an order that somebody new pays must still find its payer
    select
        named_payers.payer_id,
        cast(null as {{ text_type() }}) as payer_name,
        cast(null as {{ text_type() }}) as payer_type,
        false as is_listed
    from named_payers
    left join payers
        on named_payers.payer_id = payers.payer_id
    where payers.payer_id is null

),

all_payers as (

    select * from listed_payers

    union all

    select * from unlisted_payers

)

select * from all_payers
