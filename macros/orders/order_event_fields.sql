{#-
    What silver reads from an order event, and the rule for each field: the
    event contract's two tables as data.

    name         the column in silver, or what it is made from
    flag         the contract's name, as quality flags give it
    within       the object that holds the field: `data`, or the patient in it
    kind         how its values are read; a macro in `value_rules.sql`
    event_types  where the field is read; elsewhere it is nobody's
    required_in  where it has to be there for the event to be useful
    listed       the values of a listed code, where they differ by event type
-#}
{% macro order_event_fields() %}
    {%- set placed = ['order_placed'] -%}
    {%- set validated = ['insurance_validation'] -%}
    {%- set authorised = ['prior_authorization'] -%}
    {%- set dispensed = ['order_dispensed'] -%}
    {%- set shipped = ['order_shipped'] -%}
    {%- set scanned = ['shipment_scanned'] -%}
    {%- set delivered = ['order_delivered'] -%}

    {%- set fields = [
        {
            'name': 'patient_id', 'flag': 'patient.patient_id',
            'within': 'patient', 'kind': 'plain_text',
            'event_types': placed, 'required_in': placed,
        },
        {
            'name': 'date_of_birth', 'flag': 'patient.date_of_birth',
            'within': 'patient', 'kind': 'pooled_birth_year',
            'event_types': placed,
        },
        {
            'name': 'gender', 'flag': 'patient.gender',
            'within': 'patient', 'kind': 'listed_code',
            'event_types': placed,
            'listed': {'order_placed': ['female', 'male', 'other', 'unknown']},
        },
        {
            'name': 'state', 'flag': 'patient.state',
            'within': 'patient', 'kind': 'upper_case_code',
            'event_types': placed, 'required_in': placed,
        },
        {
            'name': 'zip', 'flag': 'patient.zip',
            'within': 'patient', 'kind': 'first_three_of_zip',
            'event_types': placed, 'required_in': placed,
        },
        {
            'name': 'ndc', 'kind': 'ndc_in_eleven_digits',
            'event_types': placed, 'required_in': placed,
        },
        {
            'name': 'quantity', 'kind': 'number_with_3_decimals',
            'event_types': placed, 'required_in': placed,
        },
        {
            'name': 'days_supply', 'kind': 'whole_number',
            'event_types': placed,
        },
        {
            'name': 'pharmacy_id', 'kind': 'identifier',
            'event_types': placed + dispensed, 'required_in': placed,
        },
        {
            'name': 'payer_id', 'kind': 'identifier',
            'event_types': placed + validated, 'required_in': placed,
        },
        {
            'name': 'priority', 'kind': 'listed_code',
            'event_types': placed, 'required_in': placed,
            'listed': {'order_placed': ['standard', 'expedited', 'stat']},
        },
        {
            'name': 'channel', 'kind': 'listed_code',
            'event_types': placed,
            'listed': {
                'order_placed': ['erx', 'fax', 'phone', 'portal', 'refill'],
            },
        },
        {
            'name': 'status', 'kind': 'listed_code',
            'event_types': validated + authorised + scanned,
            'required_in': validated + authorised + scanned,
            'listed': {
                'insurance_validation': ['approved', 'rejected', 'pending'],
                'prior_authorization': ['submitted', 'approved', 'denied'],
                'shipment_scanned': [
                    'pending', 'info_received', 'in_transit',
                    'out_for_delivery', 'attempt_fail',
                    'available_for_pickup', 'delivered', 'exception',
                    'expired',
                ],
            },
        },
        {
            'name': 'reject_code', 'kind': 'upper_case_code',
            'event_types': validated,
        },
        {
            'name': 'copay_amount', 'kind': 'money',
            'event_types': validated,
        },
        {
            'name': 'plan_paid_amount', 'kind': 'money',
            'event_types': validated,
        },
        {
            'name': 'lot_number', 'kind': 'plain_text',
            'event_types': dispensed,
        },
        {
            'name': 'verified_by_role', 'kind': 'plain_text',
            'event_types': dispensed,
        },
        {
            'name': 'carrier_id', 'kind': 'identifier',
            'event_types': shipped, 'required_in': shipped,
        },
        {
            'name': 'service_level', 'kind': 'listed_code',
            'event_types': shipped,
            'listed': {
                'order_shipped': ['ground', 'two_day', 'overnight', 'same_day'],
            },
        },
        {
            'name': 'cold_chain', 'kind': 'true_or_false',
            'event_types': shipped,
        },
        {
            'name': 'promised_delivery_at', 'kind': 'instant',
            'event_types': shipped, 'required_in': shipped,
        },
        {
            'name': 'exception_code', 'kind': 'plain_text',
            'event_types': scanned,
        },
        {
            'name': 'temperature_c', 'kind': 'number_with_3_decimals',
            'event_types': scanned,
        },
        {
            'name': 'delivered_at', 'kind': 'instant',
            'event_types': delivered,
        },
        {
            'name': 'signed_by_role', 'kind': 'plain_text',
            'event_types': delivered,
        },
        {
            'name': 'minutes_out_of_range', 'kind': 'number_with_3_decimals',
            'event_types': delivered,
        },
    ] -%}

    {%- for field in fields -%}
        {%- do field.update({
            'flag': field.flag or field.name,
            'within': field.within or 'data',
            'required_in': field.required_in or [],
            'listed': field.listed or {},
        }) -%}
    {%- endfor -%}

    {{- return(fields) -}}
{% endmacro %}
