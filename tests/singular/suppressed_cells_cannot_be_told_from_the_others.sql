-- What a day, window and dimension hide is no difference of 1 to 10 answers.
{{ config(tags=['survey']) }}

with

cells as (

    select * from {{ ref('patient_satisfaction_daily') }}

),

everything as (

    select * from cells
    where
        dimension = 'all'
        and not is_suppressed

),

dimensions as (

    select
        response_date,
        window_days,
        dimension,
        sum(coalesce(response_count, 0)) as shown_responses
    from cells
    where dimension != 'all'
    group by response_date, window_days, dimension

)

select
    dimensions.response_date,
    dimensions.window_days,
    dimensions.dimension
from dimensions
inner join everything
    on
        dimensions.response_date = everything.response_date
        and dimensions.window_days = everything.window_days
where
    everything.response_count - dimensions.shown_responses < 0
    or everything.response_count - dimensions.shown_responses between 1 and 10
