{{
    config(
        materialized='table',
        indexes=[{'columns': ['reject_code'], 'unique': true}],
    )
}}

with

reject_codes as (

    select * from {{ ref('reject_codes') }}

)

select
    reject_code,
    description,
    actor
from reject_codes
