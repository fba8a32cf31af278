{# One row per bar of an ended session: its features, its labels, and whether it passes the loose
   gate. #}
with states as (
    select * exclude (spread, spread_source, is_pumped, is_base, is_entry)
    from {{ ref('states_1m') }}
),

labels as (
    select * exclude (session_date, session_segment)
    from {{ ref('labels_1m') }}
)

select *
from states
inner join labels using (symbol, bar_at)
