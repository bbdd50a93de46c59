{{
    config(
        materialized='table',
        indexes=[{'columns': ['pharmacy_id'], 'unique': true}],
    )
}}

with

pharmacies as (

    select * from {{ ref('pharmacies') }}

),

named_pharmacies as (

    {{ distinct_values(ref('stg_order_events'), 'pharmacy_id') | indent }}

),

listed_pharmacies as (

    select
        pharmacy_id,
        pharmacy_name,
        city,
        state,
        time_zone,
        true as is_listed
    from pharmacies

),

unlisted_pharmacies as (

    -- an order of a site that just opened must still find its site
    select
        named_pharmacies.pharmacy_id,
        cast(null as {{ text_type() }}) as pharmacy_name,
        cast(null as {{ text_type() }}) as city,
        cast(null as {{ text_type() }}) as state,
        cast(null as {{ text_type() }}) as time_zone,
        false as is_listed
    from named_pharmacies
    left join pharmacies
        on named_pharmacies.pharmacy_id = pharmacies.pharmacy_id
    where pharmacies.pharmacy_id is null

),

all_pharmacies as (

    select * from listed_pharmacies

    union all

    select * from unlisted_pharmacies

)

select * from all_pharmacies
