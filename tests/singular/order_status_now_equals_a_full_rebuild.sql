-- What order_status_now shows is what a full rebuild would give at this
-- moment: the rules of every model, run over all copies of all events of the
-- orders that were touched. A row follows from its messages, which its hash
-- names; ingestion may go on, as one statement sees one moment.
{%- set ingested_through = tested_through('ingested_through') %}
with

arrived as (

    select
        event_id,
        order_id
    from {{ source('pbm_bronze', 'raw_orders') }}
    {%- if ingested_through %}
    where ingested_at > {{ ingested_through }}
    {%- endif %}

),

touched_orders as (

    select order_id from arrived

    union distinct

    -- an earlier copy takes an event away from the order that had it
    select events.order_id
    from {{ ref('stg_order_events') }} as events
    inner join arrived
        on events.event_id = arrived.event_id

),

touched_events as (

    select event_id from arrived

    union distinct

    select events.event_id
    from {{ ref('stg_order_events') }} as events
    inner join touched_orders
        on events.order_id = touched_orders.order_id

),

copies as (

    select
        received.*,
        row_number() over (
            partition by received.event_id
            order by
                received.publish_time asc,
                {{ by_code_point('received.message_id') }} asc
        ) as copy_number
    from {{ source('pbm_bronze', 'raw_orders') }} as received
    inner join touched_events
        on received.event_id = touched_events.event_id

),

first_copies as (

    select * from copies
    where copy_number = 1

),

parsed_events as (

    {{ parsed_order_events('first_copies') | indent }}

),

events as (

    select
        *,
        cast(null as {{ timestamp_type() }}) as built_at
    from parsed_events

),

orders as (

    {{ order_milestones('events') | indent }}

),

lifecycles as (

    {{ order_lifecycle('orders') | indent }}

),

rebuilt as (

    select lifecycles.*
    from lifecycles
    inner join touched_orders
        on lifecycles.order_id = touched_orders.order_id

),

shown as (

    select status_now.*
    from {{ ref('order_status_now') }} as status_now
    inner join touched_orders
        on status_now.order_id = touched_orders.order_id

)

select
    rebuilt.order_id as rebuilt_order_id,
    shown.order_id as shown_order_id,
    rebuilt.current_status as rebuilt_status,
    shown.current_status as shown_status
from rebuilt
full outer join shown
    on rebuilt.order_id = shown.order_id
where
    rebuilt.events_hash is distinct from shown.events_hash
    or rebuilt.current_status is distinct from shown.current_status
    or rebuilt.delivered_at is distinct from shown.delivered_at
    or rebuilt.event_count is distinct from shown.event_count
    or rebuilt.copay_amount is distinct from shown.copay_amount
    or rebuilt.quality_flags is distinct from shown.quality_flags
