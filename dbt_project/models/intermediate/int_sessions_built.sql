{# One row per session that is built: every session with bars, and the coming one, from the
   calendar. #}
with sessions as (select * from {{ ref('int_sessions') }}),

coming as (select * from {{ ref('coming_session') }}),

daily as (select * from {{ ref('int_daily_series') }}),

minutes as (select * from {{ ref('int_bars_1m') }}),

with_bars as (
    select session_date from daily
    union
    select session_date from minutes
    union
    select session_date from coming
)

select sessions.*
from sessions
inner join with_bars using (session_date)
