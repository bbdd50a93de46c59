{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='node_id',
        on_schema_change='fail',
        full_refresh=false,
        indexes=[{'columns': ['node_id'], 'unique': true}],
    )
}}

with

watermark as (

    select * from {{ ref('serving_watermark') }}

),

build_results as (

    -- a build's results are known when it has ended: `record_build_results`
    -- writes them then
    select
        watermark.watermark_id as node_id,
        cast(null as {{ text_type() }}) as resource_type,
        cast(null as {{ text_type() }}) as node,
        cast(null as {{ text_type() }}) as tested,
        cast(null as {{ text_type() }}) as result,
        cast(null as {{ whole_number_type() }}) as failure_count,
        watermark.moved_at as run_started_at
    from watermark
    where watermark.watermark_id is null

)

select * from build_results
