{# One row per bar of an ended session: its features, its labels, and whether it passes the loose
   gate. Sessions in which data quality found an error are left out. #}
with states as (
    select * exclude (spread, spread_source, is_pumped, is_base, is_entry)
    from {{ ref('states_1m') }}
),

labels as (
    select * exclude (session_date, session_segment)
    from {{ ref('labels_1m') }}
),

bad_sessions as (
    select
        symbol,
        session_date
    from {{ ref('data_quality') }}
    where severity = 'error'
),

usable_states as (
    select *
    from states
    anti join bad_sessions using (symbol, session_date)
)

select *
from usable_states
inner join labels using (symbol, bar_at)
