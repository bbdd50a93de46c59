-- A field whose flag says that it could not be read is null, and a `missing`
-- field has nothing either.
{%- set built_through = tested_through('built_through') %}
with

events as (

    select * from {{ ref('stg_order_events') }}
    {%- if built_through %}
    where built_at > {{ built_through }}
    {%- endif %}

)

select
    event_id,
    quality_flags
from events
where
    (
        ndc11 is not null
        and concat(',', quality_flags) like '%,ndc:%'
    )
    or (
        quantity is not null
        and concat(',', quality_flags) like '%,quantity:%'
    )
    or (
        zip3 is not null
        and concat(',', quality_flags) like '%,patient%zip:%'
    )
    or (
        promised_delivery_at is not null
        and concat(',', quality_flags) like '%,promised_delivery_at:%'
    )
