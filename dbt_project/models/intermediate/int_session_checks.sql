{# One row per (symbol, session_date) with minute bars: the figures that data quality looks at. A
   jump that looks like a split nobody told of is the first RTH open against the close before, on
   the session's split basis, as a ratio of 1 or more. #}
with landed as (select * from {{ ref('int_landed_bars') }}),

session_bars as (select * from {{ ref('int_session_bars') }}),

odd_sessions as (select * from {{ ref('int_odd_sessions') }}),

sessions as (select * from {{ ref('int_sessions') }}),

daily as (
    select
        symbol,
        session_date,
        close
    from {{ ref('int_daily_series') }}
    where not is_from_minutes
),

state as (select * from {{ ref('int_daily_state') }}),

revisions as (
    select
        symbol,
        session_date,
        count(*) as revision_count
    from {{ ref('stg_bar_revisions') }}
    group by symbol, session_date
),

checks as (
    select
        landed.symbol,
        landed.session_date,
        case when sessions.session_date is null then landed.row_count end
            as bars_without_session_count,
        odd_sessions.outside_bar_count,
        odd_sessions.duplicate_version_count,
        odd_sessions.zero_volume_run,
        session_bars.rth_zero_volume_count,
        revisions.revision_count,
        date_diff('minute', sessions.open_at, sessions.close_at)
        - coalesce(session_bars.rth_bar_count, 0) as missing_minute_count,
        abs(session_bars.rth_close / daily.close - 1) as daily_close_difference,
        greatest(
            session_bars.rth_open / state.previous_close,
            state.previous_close / session_bars.rth_open
        ) as overnight_jump,
        state.sessions_since_last
    from landed
    left join session_bars
        on landed.symbol = session_bars.symbol and landed.session_date = session_bars.session_date
    left join odd_sessions
        on landed.symbol = odd_sessions.symbol and landed.session_date = odd_sessions.session_date
    left join sessions on landed.session_date = sessions.session_date
    left join daily
        on landed.symbol = daily.symbol and landed.session_date = daily.session_date
    left join state
        on landed.symbol = state.symbol and landed.session_date = state.session_date
    left join revisions
        on landed.symbol = revisions.symbol and landed.session_date = revisions.session_date
)

select * from checks
