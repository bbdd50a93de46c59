{{
    config(
        materialized='incremental',
        incremental_strategy='merge',
        unique_key='date_day',
        on_schema_change='fail',
        indexes=[{'columns': ['date_day'], 'unique': true}],
    )
}}

with

holidays as (

    select * from {{ ref('federal_holidays') }}

),

days as (

    -- the first and the last day that the event contract accepts
    {{ every_day('2000-01-01', '2100-12-31') | indent }}

),

parts as (

    select
        date_day,
        {%- for part in ['year', 'quarter', 'month', 'day'] %}
        cast(extract({{ part }} from date_day) as {{ whole_number_type() }})
            as {{ part if part != 'day' else 'day_of_month' }},
        {%- endfor %}
        {{ iso_part('year', 'date_day') }} as iso_year,
        {{ iso_part('week', 'date_day') }} as iso_week,
        {{ iso_part('day', 'date_day') }} as iso_day_of_week,
        {{ month_name('date_day') }} as month_name,
        {{ day_name('date_day') }} as day_name
    from days

),

working_days as (

    -- a holiday that falls on a weekend is kept on the working day beside it
    select
        parts.*,
        holidays.holiday_name,
        parts.iso_day_of_week >= 6 as is_weekend,
        holidays.observed_date is not null as is_holiday,
        parts.iso_day_of_week < 6
        and holidays.observed_date is null as is_business_day
    from parts
    left join holidays
        on parts.date_day = holidays.observed_date

),

months as (

    select
        year,
        month,
        count(case when is_business_day then 1 end) as business_days
    from working_days
    group by
        year,
        month

),

months_before as (

    -- month by month: a running count over every day of a century is a long one
    select
        year,
        month,
        cast(
            coalesce(
                sum(business_days) over (
                    order by year asc, month asc
                    rows between unbounded preceding and 1 preceding
                ),
                0
            ) as {{ whole_number_type() }}
        ) as business_days
    from months

),

dates as (

    select
        working_days.date_day,
        working_days.year,
        working_days.quarter,
        working_days.month,
        working_days.month_name,
        working_days.day_of_month,
        working_days.iso_year,
        working_days.iso_week,
        working_days.iso_day_of_week,
        working_days.day_name,
        {{ days_before(
            'working_days.date_day', 'working_days.day_of_month - 1'
        ) }} as month_start_date,
        {{ days_before(
            'working_days.date_day', 'working_days.iso_day_of_week - 1'
        ) }} as week_start_date,
        working_days.is_weekend,
        working_days.is_holiday,
        working_days.holiday_name,
        working_days.is_business_day,
        months_before.business_days
        + count(case when working_days.is_business_day then 1 end) over (
            partition by working_days.year, working_days.month
            order by working_days.date_day asc
            rows between unbounded preceding and 1 preceding
        ) as business_days_before
    from working_days
    inner join months_before
        on
            working_days.year = months_before.year
            and working_days.month = months_before.month

)

-- not made anew each time: PostgreSQL would drop the views that read it
select * from dates
{%- if is_incremental() %}
where
    not exists (
        select 1
        from {{ this }} as built_days
        where
            built_days.date_day = dates.date_day
            {%- for column in [
                'year', 'quarter', 'month', 'month_name', 'day_of_month',
                'iso_year', 'iso_week', 'iso_day_of_week', 'day_name',
                'month_start_date', 'week_start_date', 'is_weekend',
                'is_holiday', 'holiday_name', 'is_business_day',
                'business_days_before',
            ] %}
            and built_days.{{ column }} is not distinct from dates.{{ column }}
            {%- endfor %}
    )
{%- endif %}
