{#-
    How far silver looks back for messages that it does not show, and so from
    where on it may lack one: later than that the tail of bronze begins.
-#}
{% macro tail_begins_after() -%}
coalesce(
    {{ minutes_before(
        newest(ref('stg_order_events'), 'ingested_at'),
        var('late_commit_overlap_minutes')
    ) }},
    {{ beginning_of_time() }}
)
{%- endmacro %}


{#-
    Of the messages in `relation`, which holds all of bronze, those that the
    next build of `stg_order_events` would show and that it does not show yet:
    each is the first copy of its event so far. Written as anti joins on the
    event, so that a condition on `order_id` reaches the table's index.
-#}
{% macro waiting_messages(relation) -%}
select {{ relation }}.*
from {{ relation }}
where
    {{ relation }}.ingested_at > {{ tail_begins_after() | indent }}
    and not exists (
        select 1
        from {{ ref('stg_order_events') }} as shown
        where
            shown.event_id = {{ relation }}.event_id
            and (
                shown.message_id = {{ relation }}.message_id
                or {{ comes_before('shown', relation) | indent(16) }}
            )
    )
    and not exists (
        select 1
        from {{ relation }} as earlier
        where
            earlier.event_id = {{ relation }}.event_id
            and earlier.ingested_at > {{ tail_begins_after() | indent(12) }}
            and {{ comes_before('earlier', relation) | indent(12) }}
    )
{%- endmacro %}


{#- Whether one copy of an event comes before another: it is the one to count. -#}
{% macro comes_before(copy, other_copy) -%}
(
    {{ copy }}.publish_time < {{ other_copy }}.publish_time
    or (
        {{ copy }}.publish_time = {{ other_copy }}.publish_time
        and {{ by_code_point(copy ~ '.message_id') }}
        < {{ by_code_point(other_copy ~ '.message_id') }}
    )
)
{%- endmacro %}
