{#-
    Of the copies of each event in `relation`, the one that counts: the
    earliest published, then the smallest message id. Its `other_order_ids`
    names the orders that the other copies gave, known from before or new.
-#}
{% macro first_copies(relation) -%}
with

numbered as (

    select
        *,
        row_number() over (
            partition by event_id
            order by publish_time asc, {{ by_code_point('message_id') }} asc
        ) as copy_number,
        first_value(order_id) over (
            partition by event_id
            order by publish_time asc, {{ by_code_point('message_id') }} asc
        ) as first_order_id
    from {{ relation }}

),

known_claims as (

    select
        event_id,
        first_order_id,
        other_order_ids
    from numbered
    where other_order_ids is not null

),

losing_claims as (

    select
        event_id,
        order_id
    from numbered
    where order_id != first_order_id

    union distinct

    select
        known_claims.event_id,
        element.value as order_id
    from {{ unnest_json_strings('known_claims', 'other_order_ids') | indent }}
    where element.value != known_claims.first_order_id

),

other_orders as (

    select
        event_id,
        {{ json_strings_agg('order_id') | indent(8) }} as order_ids
    from losing_claims
    group by event_id

)

select
    {%- for column in order_event_columns() %}
    numbered.{{ column }},
    {%- endfor %}
    other_orders.order_ids as other_order_ids
from numbered
left join other_orders
    on numbered.event_id = other_orders.event_id
where numbered.copy_number = 1
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
