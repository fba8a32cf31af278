{# One row per (symbol, session_date) with minute bars: the figures that data quality looks at. A
   jump that looks like a split nobody told of is the first RTH open against the close before, on
   the session's split basis, as a ratio of 1 or more. #}
with session_bars as (select * from {{ ref('int_session_bars') }}),

sessions as (select * from {{ ref('int_sessions') }}),

daily as (
    select
        symbol,
        session_date,
        open,
        close
    from {{ ref('int_daily_series') }}
    where not is_from_minutes
),

opens as (select * from {{ ref('int_session_opens') }}),

state as (select * from {{ ref('int_daily_state') }}),

checks as (
    select
        session_bars.symbol,
        session_bars.session_date,
        session_bars.outside_bar_count,
        session_bars.rth_zero_volume_count,
        session_bars.revision_count,
        date_diff('minute', sessions.open_at, sessions.close_at)
        - session_bars.rth_bar_count as missing_minute_count,
        abs(session_bars.rth_close / daily.close - 1) as daily_close_difference,
        greatest(
            opens.session_open / state.previous_close, state.previous_close / opens.session_open
        ) as overnight_jump,
        state.sessions_since_last
    from session_bars
    left join sessions on session_bars.session_date = sessions.session_date
    left join daily
        on session_bars.symbol = daily.symbol and session_bars.session_date = daily.session_date
    left join opens
        on session_bars.symbol = opens.symbol and session_bars.session_date = opens.session_date
    left join state
        on session_bars.symbol = state.symbol and session_bars.session_date = state.session_date
)

select * from checks
