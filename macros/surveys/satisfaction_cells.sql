{#-
    The steps from one row per answer (and delivery) to cells: a response day,
    a trailing window, a dimension and its value, small cells suppressed.

    The step `counted` must be there, with `counted_date`, the answers and the
    dimensions' columns; with deliveries, an answer has `is_delivery` false and
    a delivery true, and `is_answered`.
-#}
{% macro satisfaction_cells(dimensions, has_deliveries) -%}
{%- set measures = {
    'responses': 'count(response_id)',
    'recommend_answers': 'count(likelihood_to_recommend)',
    'promoters':
        'count(case when likelihood_to_recommend >= 9 then 1 end)',
    'detractors':
        'count(case when likelihood_to_recommend <= 6 then 1 end)',
    'satisfaction_answers': 'count(overall_satisfaction)',
    'satisfied': 'count(case when overall_satisfaction >= 4 then 1 end)',
} -%}
{%- for question in averaged_questions() -%}
    {%- do measures.update({
        question ~ '_answers': 'count(' ~ question ~ ')',
        question ~ '_total': 'coalesce(sum(' ~ question ~ '), 0)',
    }) -%}
{%- endfor -%}
{%- if has_deliveries -%}
    {%- do measures.update({
        'orders_delivered': 'count(case when is_delivery then 1 end)',
        'orders_answered': 'count(case when is_answered then 1 end)',
    }) -%}
{%- endif -%}
{%- set hideable = ['responses', 'orders_answered']
    if has_deliveries else ['responses'] -%}
with

response_days as (

    select distinct counted_date as response_date
    from counted
    where response_id is not null

),

-- four weeks hold each weekday as often, and 90 days are about a quarter
windows as (

    {% for days in [1, 28, 90] -%}
    select cast({{ days }} as {{ whole_number_type() }}) as window_days
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}

),

daily_counts as (

    {% for dimension, column in dimensions.items() -%}
    select
        counted_date,
        '{{ dimension }}' as dimension,
        {{ column }} as dimension_value
        {%- for measure, expression in measures.items() %},
        {{ expression }} as {{ measure }}
        {%- endfor %}
    from counted
    group by counted_date, dimension_value
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- endfor %}

),

window_counts as (

    select
        response_days.response_date,
        windows.window_days,
        daily_counts.dimension,
        daily_counts.dimension_value
        {%- for measure in measures %},
        cast(sum(daily_counts.{{ measure }}) as {{ whole_number_type() }})
            as {{ measure }}
        {%- endfor %}
    from response_days
    cross join windows
    inner join daily_counts
        on
            response_days.response_date >= daily_counts.counted_date
            and {{ days_before(
                'response_days.response_date', 'windows.window_days'
            ) }} < daily_counts.counted_date
    group by
        response_days.response_date,
        windows.window_days,
        daily_counts.dimension,
        daily_counts.dimension_value

),

ranked_counts as (

    select
        *
        {%- for count in hideable %},
        {{ count }} between 1 and 10 as has_few_{{ count }},
        sum(case when {{ count }} between 1 and 10 then {{ count }} else 0 end)
            over (partition by response_date, window_days, dimension)
            as few_{{ count }},
        row_number() over (
            partition by
                response_date,
                window_days,
                dimension,
                case when {{ count }} > 10 then 1 else 0 end
            order by
                {{ count }} asc, {{ by_code_point('dimension_value') }} asc
        ) as {{ count }}_rank
        {%- endfor %}
    from window_counts

),

-- a small count is hidden; where those of a dimension add up to a small one,
-- so is the least of the others, or the difference from all would tell it
hidden_counts as (

    select
        *
        {%- for count in hideable %},
        has_few_{{ count }}
        or (
            {{ count }} > 10
            and few_{{ count }} between 1 and 10
            and {{ count }}_rank = 1
        ) as hides_{{ count }}
        {%- endfor %}
    from ranked_counts

),

shown_counts as (

    select
        response_date,
        window_days,
        dimension,
        dimension_value,
        hides_responses as is_suppressed,
        case when not hides_responses then responses end as response_count,
        promoters,
        detractors,
        satisfied,
        case
            when not hides_responses and recommend_answers > 10
                then recommend_answers
        end as recommend_answers,
        case
            when not hides_responses and satisfaction_answers > 10
                then satisfaction_answers
        end as satisfaction_answers
        {%- for question in averaged_questions() %},
        {{ question }}_total,
        case
            when not hides_responses and {{ question }}_answers > 10
                then {{ question }}_answers
        end as {{ question }}_answers
        {%- endfor %}
        {%- if has_deliveries %},
        orders_delivered,
        case
            when not hides_responses and not hides_orders_answered
                then orders_answered
        end as orders_answered
        {%- endif %}
    from hidden_counts

),

computed_cells as (

    select
        response_date,
        window_days,
        dimension,
        dimension_value,
        is_suppressed,
        response_count,

        ---------- would they recommend us
        cast(
            {{ rounded_quotient(
                '100 * (promoters - detractors)', 'recommend_answers', 2
            ) | indent(12) }} as numeric(6, 2)
        ) as net_promoter_score,
        {%- for end, sign in [('low', '-'), ('high', '+')] %}
        cast(
            {{ net_promoter_bound(
                'promoters', 'detractors', 'recommend_answers', sign
            ) | indent(12) }} as numeric(6, 2)
        ) as net_promoter_score_{{ end }},
        {%- endfor %}

        ---------- are they satisfied
        cast(
            {{ rounded_quotient('satisfied', 'satisfaction_answers', 4)
                | indent(12) }} as numeric(5, 4)
        ) as satisfied_rate,
        {%- for end, sign in [('low', '-'), ('high', '+')] %}
        cast(
            {{ wilson_bound('satisfied', 'satisfaction_answers', sign)
                | indent(12) }} as numeric(5, 4)
        ) as satisfied_rate_{{ end }},
        {%- endfor %}
        {%- for question in averaged_questions() %}
        cast(
            {{ rounded_quotient(question ~ '_total', question ~ '_answers', 2)
                | indent(12) }} as numeric(3, 2)
        ) as avg_{{ question }}{{ ',' if has_deliveries or not loop.last }}
        {%- endfor %}
        {%- if has_deliveries %}

        ---------- do they answer
        orders_delivered,
        cast(
            {{ rounded_quotient(
                'orders_answered',
                'case when orders_answered is not null then'
                ~ ' nullif(orders_delivered, 0) end',
                4,
            ) | indent(12) }} as numeric(5, 4)
        ) as response_rate,
        {%- for end, sign in [('low', '-'), ('high', '+')] %}
        cast(
            {{ wilson_bound(
                'orders_answered', 'nullif(orders_delivered, 0)', sign
            ) | indent(12) }} as numeric(5, 4)
        ) as response_rate_{{ end }}{{ ',' if not loop.last }}
        {%- endfor %}
        {%- endif %}
    from shown_counts

)

select * from computed_cells
{%- endmacro %}


{#- The questions from 1 to 5 that have an average. -#}
{% macro averaged_questions() %}
    {{ return([
        'delivery_timeliness',
        'staff_courtesy',
        'refill_ease',
        'order_communication',
    ]) }}
{% endmacro %}
