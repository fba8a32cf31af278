{# One row per (symbol, session_date): the daily features as they stand after that session's close.
   Prices and volumes are compared on one split basis. #}
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
        volume / split_factor as volume,
        lag(high * split_factor) over by_session as previous_high,
        lag(low * split_factor) over by_session as previous_low,
        lag(close * split_factor) over by_session as previous_close
    from series
    window by_session as (partition by symbol order by session_date)
),

terms as (
    select
        *,
        {{ true_range('high', 'low', 'previous_close') }} as true_range,
        coalesce(high / previous_close - 1 >= {{ var('gap_min') }}, false)::integer as is_pump_day,
        {{ edge_terms() }}
    from on_one_basis
),

windowed as (
    select
        symbol,
        session_date,
        close_as_traded,
        split_factor,
        close,
        volume,
        count(*) over history as session_count,
        count(true_range) over last_5 as true_range_count,
        avg(true_range) over last_5 as atr5,
        count(*) over last_60 as pump_window_count,
        sum(is_pump_day) over last_60 as pump_days,
        count(*) over before_20 as volume_window_count,
        avg(volume) over before_20 as volume_mean_20d,
        avg(close * volume) over last_20 as dollar_volume_20d,
        count(tau) over last_20 as bar_count,
        {{ edge_sums('over last_20') }}
    from terms
    window
        history as (partition by symbol order by session_date rows unbounded preceding),
        last_5 as (partition by symbol order by session_date rows 4 preceding),
        last_20 as (partition by symbol order by session_date rows 19 preceding),
        before_20 as (
            partition by symbol order by session_date rows between 20 preceding and 1 preceding
        ),
        last_60 as (partition by symbol order by session_date rows 59 preceding)
),

spreads as (
    {{ edge_spread('windowed', ['symbol', 'session_date'], 20) }}
)

select
    windowed.symbol,
    windowed.session_date,
    windowed.close_as_traded,
    windowed.split_factor,
    windowed.session_count,
    windowed.dollar_volume_20d,
    case when windowed.true_range_count = 5 then {{ safe_divide('windowed.atr5', 'windowed.close') }} end
        as atr5_pct,
    case when windowed.pump_window_count >= 20 then windowed.pump_days::integer end
        as pump_days_60d,
    case
        when windowed.volume_window_count = 20
            then {{ safe_divide('windowed.volume', 'windowed.volume_mean_20d') }}
    end as relative_volume,
    spreads.spread as edge_21d
from windowed
inner join spreads using (symbol, session_date)
