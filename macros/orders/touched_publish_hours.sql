{#-
    The hours of publish time whose counts may have changed by what came in
    after an instant.
-#}
{% macro touched_publish_hours(arrived_after) -%}
-- a new message may count instead of another copy, in that copy's hour
select {{ utc_start_of('hour', 'copies.publish_time') }} as publish_hour
from {{ ref('stg_order_messages') }} as messages
inner join {{ ref('stg_order_messages') }} as copies
    on messages.event_id = copies.event_id
where messages.ingested_at > {{ arrived_after | indent }}

union distinct

select {{ utc_start_of('hour', 'dead_letters.publish_time') }} as publish_hour
from {{ ref('stg_dead_letter_orders') }} as dead_letters
where dead_letters.failed_at > {{ arrived_after | indent }}

union distinct

select {{ utc_start_of('hour', 'panes.window_start') }} as publish_hour
from {{ ref('stg_live_order_metrics') }} as panes
where panes.emitted_at > {{ arrived_after | indent }}
{%- endmacro %}
