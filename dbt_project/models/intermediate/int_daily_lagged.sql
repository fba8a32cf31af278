{# One row per (symbol, session_date): the daily bar on the basis of the symbol's first split, with
   the one before it. session_count numbers the symbol's bars. #}
with series as (select * from {{ ref('int_daily_series') }}),

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
),

lagged as (
    select
        *,
        row_number() over by_session as session_count,
        lag(high) over by_session as previous_high,
        lag(low) over by_session as previous_low,
        lag(close) over by_session as previous_close
    from on_one_basis
    window by_session as (partition by symbol order by session_date)
)

select * from lagged
