{# One row per (symbol, session_date): the daily bar on the basis of the symbol's first split, with
   the one before it. session_count numbers the symbol's bars. Of the bars before those that are
   being built, only the last 60 are here. #}
with series as (select * from {{ ref('int_daily_series') }}),

sessions as (select * from {{ ref('int_sessions_in_scope') }}),

on_one_basis as (
    select
        symbol,
        session_date,
        close as close_as_traded,
        split_factor,
        open * split_factor as open,
        high * split_factor as high,
        low * split_factor as low,
        close * split_factor as close,
        volume / split_factor as volume
    from series
    where session_date <= (select max(session_date) from sessions)
),

numbered as (
    select
        *,
        row_number() over (partition by symbol order by session_date) as session_count
    from on_one_basis
),

first_counts as (
    select
        symbol,
        min(session_count) as first_count
    from numbered
    where session_date >= (select min(session_date) from sessions)
    group by symbol
),

lagged as (
    select
        numbered.*,
        lag(high) over by_session as previous_high,
        lag(low) over by_session as previous_low,
        lag(close) over by_session as previous_close
    from numbered
    inner join first_counts
        on
            numbered.symbol = first_counts.symbol
            and numbered.session_count >= first_counts.first_count - 61
    window by_session as (partition by numbered.symbol order by numbered.session_date)
)

select * from lagged
