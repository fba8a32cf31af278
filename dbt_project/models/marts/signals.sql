{# One row per signal that the live service sent. #}
select * from {{ ref('stg_signals') }}
