{{ config(materialized='table') }}

with

stage_targets as (

    select * from {{ ref('stage_targets') }}

)

select
    stage,
    priority,
    target_hours,
    source as target_source,
    note
from stage_targets
