{{
    config(
        materialized='table',
        indexes=[{'columns': ['ndc11'], 'unique': true}],
    )
}}

with

catalogue as (

    select * from {{ ref('drug_catalog') }}

),

ordered_drugs as (

    {{ distinct_values(ref('stg_order_events'), 'ndc11') | indent }}

),

catalogued_drugs as (

    select
        ndc11,
        ndc_package,
        brand_name,
        generic_name,
        labeler_name,
        application_type,
        therapeutic_area,
        route,
        storage,
        storage_status,
        true as is_catalogued
    from catalogue

),

uncatalogued_drugs as (

    -- an order for a package that nobody described must still find its drug
    select
        ordered_drugs.ndc11,
        {%- for column in [
            'ndc_package', 'brand_name', 'generic_name', 'labeler_name',
            'application_type', 'therapeutic_area', 'route', 'storage',
            'storage_status',
        ] %}
        cast(null as {{ text_type() }}) as {{ column }},
        {%- endfor %}
        false as is_catalogued
    from ordered_drugs
    left join catalogue
        on ordered_drugs.ndc11 = catalogue.ndc11
    where catalogue.ndc11 is null

),

drugs as (

    select * from catalogued_drugs

    union all

    select * from uncatalogued_drugs

)

select * from drugs
