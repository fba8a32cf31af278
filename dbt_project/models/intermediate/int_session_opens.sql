{# One row per (symbol, session_date) with an RTH bar: the open of the first one. #}
with bars as (select * from {{ ref('int_bars_in_scope') }}),

first_opens as (
    select
        symbol,
        session_date,
        arg_min(open, minute_of_session) as session_open
    from bars
    where session_segment = 'RTH'
    group by symbol, session_date
)

select * from first_opens
