{#-
    The rows of `relation`, which has the columns of `pbm_bronze.raw_orders`,
    as silver shows them: one row for each row of it, every field read by the
    event contract's rules, and nothing of the patient that identifies them.
    Silver and the serving views read the same payloads by this same macro.
    Columns named in `also` are kept as they are. `for_all` says that every row
    is wanted, and none looked up by a condition.
-#}
{% macro parsed_order_events(relation, also=[], for_all=false) %}
    {%- set fields = order_event_fields() -%}
    {%- set data_members = ['patient'] -%}
    {%- set patient_members = [] -%}
    {%- for field in fields -%}
        {%- if field.within == 'patient' -%}
            {%- do patient_members.append(field.name) -%}
        {%- else -%}
            {%- do data_members.append(field.name) -%}
        {%- endif -%}
    {%- endfor -%}

    {%- set texts = {
        'is_patient_missing':
            "event_type = 'order_placed' and patient_json is null",
        'is_patient_readable':
            "event_type = 'order_placed'\nand coalesce("
            ~ is_json_object('patient_json') ~ ', false)',
    } -%}
    {%- set values = {} -%}
    {%- for field in fields -%}
        {%- set token = field.name ~ '_json' -%}
        {%- set text -%}
case
    when event_type in ('{{ field.event_types | join("', '") }}')
        then
            {% if 'number' in field.kind or field.kind == 'money' -%}
            {{ field_number_text(token) | indent(12) }}
            {%- else -%}
            {{ field_text(token) | indent(12) }}
            {%- endif %}
end
        {%- endset -%}
        {%- do texts.update({field.name ~ '_text': text}) -%}
        {%- do values.update(
            {field.name: context[field.kind](field.name ~ '_text')}
        ) -%}
    {%- endfor -%}

with

payloads as (

    select
        message_id,
        event_id,
        event_type,
        order_id,
        event_timestamp,
        patient_key,
        cast(patient_key_version as {{ whole_number_type() }})
            as patient_key_version,
        cast(schema_version as {{ whole_number_type() }}) as schema_version,
        source_system,
        publish_time,
        ingested_at,
        {%- for column in also %}
        {{ column }},
        {%- endfor %}
        {{ as_json('payload') }} as payload_json
    from {{ relation }}

),

envelopes as (

    {{ computed_once(
        'payloads',
        {'data_json': json_member('payload_json', 'data')},
        for_all,
    ) | indent }}

),

event_data as (

    {{ json_members('envelopes', 'data_json', data_members) | indent }}

),

patients as (

    {{ json_members('event_data', 'patient_json', patient_members) | indent }}

),

texts as (

    {{ computed_once('patients', texts, for_all) | indent }}

),

typed as (

    {{ computed_once('texts', values, for_all) | indent }}

)

select
    ---------- ids
    typed.event_id,
    typed.message_id,
    typed.order_id,
    case
        when typed.event_type = 'order_placed' then typed.patient_key
    end as patient_key,
    typed.payer_id,
    typed.pharmacy_id,
    typed.carrier_id,
    typed.ndc as ndc11,

    ---------- the event
    typed.event_type,
    typed.source_system,
    typed.schema_version,
    case
        when typed.event_type = 'order_placed' then typed.patient_key_version
    end as patient_key_version,
    typed.status,
    typed.reject_code,
    typed.priority,
    typed.channel,
    typed.service_level,
    typed.exception_code,
    typed.lot_number,
    typed.verified_by_role,
    typed.signed_by_role,

    ---------- the patient
    typed.date_of_birth as birth_year,
    typed.gender,
    typed.state,
    case
        when sparse_zip3s.zip3 is not null then '000'
        else typed.zip
    end as zip3,

    ---------- amounts
    typed.quantity,
    typed.days_supply,
    typed.copay_amount,
    typed.plan_paid_amount,
    typed.minutes_out_of_range,
    typed.temperature_c,

    ---------- booleans
    typed.cold_chain,

    ---------- timestamps
    typed.event_timestamp,
    typed.promised_delivery_at,
    typed.delivered_at,
    typed.publish_time,
    typed.ingested_at,
    {%- for column in also %}
    typed.{{ column }},
    {%- endfor %}

    ---------- quality
    {{ order_event_flags('typed') | indent }} as quality_flags
from typed
left join {{ ref('sparse_zip3s') }} as sparse_zip3s
    on typed.zip = sparse_zip3s.zip3
{%- endmacro %}


{#- The quality flags of one parsed event, in the order of their text. -#}
{% macro order_event_flags(relation) -%}
    {%- set patient -%}
case
    when {{ relation }}.is_patient_missing then 'patient:missing'
    when
        {{ relation }}.event_type = 'order_placed'
        and not {{ relation }}.is_patient_readable
        then 'patient:unreadable'
end
    {%- endset -%}
    {%- set flags = [{'order': 'patient:', 'case': patient}] -%}

    {%- for field in order_event_fields() -%}
        {%- set text = relation ~ '.' ~ field.name ~ '_text' -%}
        {%- set value = relation ~ '.' ~ field.name -%}
        {%- set flag -%}
case
    {%- if field.required_in %}
    when
        {%- if field.within == 'patient' %}
        {{ relation }}.is_patient_readable
        {%- else %}
        {{ relation }}.event_type in (
            '{{ field.required_in | join("', '") }}'
        )
        {%- endif %}
        and {{ text }} is null
        then '{{ field.flag }}:missing'
    {%- endif %}
    when {{ text }} is not null and {{ value }} is null
        then '{{ field.flag }}:unreadable'
    {%- for event_type, listed in field.listed.items() %}
    when
        {{ relation }}.event_type = '{{ event_type }}'
        and {{ value }} not in (
            '{{ listed | join("',\n            '") }}'
        )
        then '{{ field.flag }}:unknown_value'
    {%- endfor %}
end
        {%- endset -%}
        {%- do flags.append({'order': field.flag ~ ':', 'case': flag}) -%}
    {%- endfor -%}

    {{- comma_join(
        flags | sort(attribute='order', case_sensitive=true)
        | map(attribute='case') | map('indent', 12) | list
    ) -}}
{%- endmacro %}
