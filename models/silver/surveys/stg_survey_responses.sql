{{ config(materialized='view') }}

with source as (

    -- without the comment, which never leaves the source
    {{ federated_rows(
        source('survey_data', 'survey_responses'),
        [
            'response_id',
            'order_id',
            'invited_at',
            'responded_at',
            'survey_channel',
            'survey_language',
            'likelihood_to_recommend',
            'overall_satisfaction',
            'delivery_timeliness',
            'staff_courtesy',
            'refill_ease',
            'order_communication',
            'loaded_at',
        ],
    ) | indent }}

),

renamed as (

    select
        ---------- ids
        response_id,
        order_id,

        ---------- how it came
        survey_channel,
        survey_language,

        ---------- answers
        {%- for question in [
            'likelihood_to_recommend',
            'overall_satisfaction',
            'delivery_timeliness',
            'staff_courtesy',
            'refill_ease',
            'order_communication',
        ] %}
        cast({{ question }} as {{ whole_number_type() }}) as {{ question }},
        {%- endfor %}

        ---------- timestamps
        invited_at,
        responded_at,
        {{ utc_date('responded_at') }} as response_date,
        loaded_at
    from source

)

select * from renamed
