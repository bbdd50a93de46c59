{{
    config(
        materialized='table',
        indexes=[{'columns': ['patient_key'], 'unique': true}],
        cluster_by=['patient_key'],
    )
}}

with

placements as (

    select * from {{ ref('stg_order_events') }}
    where
        event_type = 'order_placed'
        and patient_key is not null

),

numbered_placements as (

    select
        *,
        row_number() over (
            partition by patient_key
            order by
                event_timestamp desc,
                {{ by_code_point('event_id') }} desc
        ) as placement_number_from_last,
        min(event_timestamp) over (partition by patient_key)
            as first_placement_at
    from placements

),

patients as (

    -- people move: what the latest placement says is what holds now
    select
        patient_key,
        patient_key_version,
        birth_year,
        gender,
        state,
        zip3,
        first_placement_at,
        event_timestamp as last_placement_at
    from numbered_placements
    where placement_number_from_last = 1

)

select * from patients
