{{
    config(
        materialized='table',
        indexes=[{'columns': ['carrier_id'], 'unique': true}],
    )
}}

with

carriers as (

    select * from {{ ref('carriers') }}

),

named_carriers as (

    {{ distinct_values(ref('stg_order_events'), 'carrier_id') | indent }}

),

listed_carriers as (

    select
        carrier_id,
        carrier_name,
        on_time_rate as published_on_time_rate,
        on_time_rate_source as published_on_time_rate_source,
        true as is_listed
    from carriers

),

unlisted_carriers as (

    -- a shipment by a new courier must still find its carrier
    select
        named_carriers.carrier_id,
        cast(null as {{ text_type() }}) as carrier_name,
        cast(null as numeric(5, 4)) as published_on_time_rate,
        cast(null as {{ text_type() }}) as published_on_time_rate_source,
        false as is_listed
    from named_carriers
    left join carriers
        on named_carriers.carrier_id = carriers.carrier_id
    where carriers.carrier_id is null

),

all_carriers as (

    select * from listed_carriers

    union all

    select * from unlisted_carriers

)

select * from all_carriers
