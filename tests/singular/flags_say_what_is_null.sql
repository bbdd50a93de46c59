-- A field whose flag says that it could not be read is null, and a `missing`
-- field has nothing either.
select
    event_id,
    quality_flags
from {{ ref('stg_order_events') }}
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
