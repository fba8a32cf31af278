{# One row per (symbol, session_date): the daily features as they stand after that session's close.
   #}
with bars as (select * from {{ ref('int_daily_lagged') }}),

sessions as (select * from {{ ref('int_sessions_in_scope') }}),

terms as (
    select
        *,
        {{ true_range('high', 'low', 'previous_close') }} as true_range,
        coalesce(high / previous_close - 1 >= {{ var('gap_min') }}, false)::integer as is_pump_day
    from bars
),

windowed as (
    select
        *,
        count(true_range) over last_5 as true_range_count,
        avg(true_range) over last_5 as atr5,
        count(*) over last_60 as pump_window_count,
        sum(is_pump_day) over last_60 as pump_days,
        count(*) over before_20 as volume_window_count,
        avg(volume) over before_20 as volume_mean_20d,
        avg(close * volume) over last_20 as dollar_volume_20d
    from terms
    window
        last_5 as (partition by symbol order by session_date rows 4 preceding),
        last_20 as (partition by symbol order by session_date rows 19 preceding),
        before_20 as (
            partition by symbol order by session_date rows between 20 preceding and 1 preceding
        ),
        last_60 as (partition by symbol order by session_date rows 59 preceding)
),

features as (
    select
        symbol,
        session_date,
        close_as_traded,
        split_factor,
        session_count,
        open,
        high,
        low,
        close,
        previous_high,
        previous_low,
        previous_close,
        dollar_volume_20d,
        case when true_range_count = 5 then {{ safe_divide('atr5', 'close') }} end as atr5_pct,
        case when pump_window_count >= 20 then pump_days::integer end as pump_days_60d,
        case when volume_window_count = 20 then {{ safe_divide('volume', 'volume_mean_20d') }} end
            as relative_volume
    from windowed
    semi join sessions using (session_date)
)

select * from features
