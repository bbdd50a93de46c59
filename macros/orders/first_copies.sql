{#-
    Of the copies in `relation`, those that do not count: another one of the
    same event was published earlier, or at once with a smaller message id.
-#}
{% macro later_copies(relation) -%}
select numbered.message_id
from (
    select
        message_id,
        row_number() over (
            partition by event_id
            order by publish_time asc, {{ by_code_point('message_id') }} asc
        ) as copy_number
    from {{ relation }}
) as numbered
where numbered.copy_number > 1
{%- endmacro %}


{#-
    For each event of `relation` of which copies differ: what the copies that
    do not count named instead of what the first one names, known from before
    or new, as `{{ others }}`.
-#}
{% macro losing_claims(relation, column, others) -%}
with

first_claims as (

    select
        *,
        first_value({{ column }}) over (
            partition by event_id
            order by publish_time asc, {{ by_code_point('message_id') }} asc
        ) as first_claim
    from {{ relation }}

),

known_claims as (

    select * from first_claims
    where {{ others }} is not null

),

losing_claims as (

    select
        event_id,
        {{ column }} as claim
    from first_claims
    where
        {{ column }} is not null
        and {{ column }} is distinct from first_claim

    union distinct

    select
        known_claims.event_id,
        element.value as claim
    from {{ unnest_json_strings('known_claims', others) | indent }}
    where element.value is distinct from known_claims.first_claim

)

select
    event_id,
    {{ json_strings_agg('claim') | indent }} as {{ others }}
from losing_claims
group by event_id
{%- endmacro %}


{#- The columns that `parsed_order_events` gives, in its order. -#}
{% macro order_event_columns() %}
    {{- return([
        'event_id', 'message_id', 'order_id', 'patient_key', 'payer_id',
        'pharmacy_id', 'carrier_id', 'ndc11',
        'event_type', 'source_system', 'schema_version',
        'patient_key_version', 'status', 'reject_code', 'priority', 'channel',
        'service_level', 'exception_code', 'lot_number', 'verified_by_role',
        'signed_by_role',
        'birth_year', 'gender', 'state', 'zip3',
        'quantity', 'days_supply', 'copay_amount', 'plan_paid_amount',
        'minutes_out_of_range', 'temperature_c',
        'cold_chain',
        'event_timestamp', 'promised_delivery_at', 'delivered_at',
        'publish_time', 'ingested_at',
        'quality_flags',
    ]) -}}
{% endmacro %}
