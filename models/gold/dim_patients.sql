{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='patient_key',
        on_schema_change='fail',
        indexes=[
            {'columns': ['patient_key'], 'unique': true},
            {'columns': ['source_built_at']},
        ],
        cluster_by=['patient_key'],
        pre_hook='{{ delete_patients_without_placements() }}',
    )
}}

with

events as {{ inlined() }}(

    select * from {{ ref('stg_order_events') }}

),

changed_events as (

    select
        patient_key,
        other_patient_keys,
        built_at
    from events
    {%- if is_incremental() %}
    where
        built_at > coalesce(
            {{ newest(this, 'source_built_at') }},
            {{ beginning_of_time() }}
        )
    {%- endif %}

),

reached as (

    select max(built_at) as built_at from changed_events

),
{%- if is_incremental() %}

touched_patients as (

    select patient_key from changed_events

    union distinct

    -- an earlier copy of a placement may have named somebody else
    select element.value as patient_key
    from {{ unnest_json_strings('changed_events', 'other_patient_keys')
        | indent }}

),
{%- endif %}

placements as (

    select events.*
    from events
    {%- if is_incremental() %}
    inner join touched_patients
        on events.patient_key = touched_patients.patient_key
    {%- endif %}
    where
        events.event_type = 'order_placed'
        and events.patient_key is not null

),

numbered_placements as (

    select
        patient_key,
        patient_key_version,
        birth_year,
        gender,
        state,
        zip3,
        event_timestamp,
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
        numbered_placements.patient_key,
        numbered_placements.patient_key_version,
        numbered_placements.birth_year,
        numbered_placements.gender,
        numbered_placements.state,
        numbered_placements.zip3,
        numbered_placements.first_placement_at,
        numbered_placements.event_timestamp as last_placement_at,
        (select reached.built_at from reached) as source_built_at
    from numbered_placements
    where numbered_placements.placement_number_from_last = 1

)

select * from patients
