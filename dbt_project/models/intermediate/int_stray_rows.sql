{# One row per (symbol, session_date, check_name): rows that landed, or came, and count nowhere. The
   row as it came need not be proper JSON (it may hold an infinity), so it is read by pattern. #}
with daily as (select * from {{ ref('stg_bars_1d') }}),

sessions as (select * from {{ ref('int_sessions') }}),

rejected as (
    select
        regexp_extract(row_text, '"symbol":"([^"]+)"', 1) as symbol,
        try_cast(regexp_extract(row_text, '"session_date":"([^"]+)"', 1) as date) as session_date
    from {{ ref('stg_rejected_rows') }}
    where table_name in ('bars_1m', 'bars_1d')
)

select
    symbol,
    session_date,
    'daily_bars_without_session' as check_name,
    count(*)::double as figure
from daily
anti join sessions using (session_date)
group by symbol, session_date
union all
select
    symbol,
    session_date,
    'rejected_row_count' as check_name,
    count(*)::double as figure
from rejected
where symbol != '' and isfinite(session_date)
group by symbol, session_date
