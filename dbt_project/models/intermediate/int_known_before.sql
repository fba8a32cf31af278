{# One row per bar of int_bars_in_scope: the bar itself, and all that the features need and that is
   known before it: every window ends at the bar before. So the live service can prepare the rows of
   a minute's bars before they come (int_bars_prepared). #}
with bars as (select * from {{ ref('int_bars_in_scope') }}),

earlier as (select * from {{ ref('int_earlier_sums') }}),

daily_state as (
    select *
    from {{ ref('int_daily_state') }}
    {{ in_scope() }}
),

usual_volume as (
    select *
    from {{ ref('int_usual_volume_by_minute') }}
    {{ in_scope() }}
),

session_opens as (select * from {{ ref('int_session_opens') }}),

windowed as (
    select
        *,
        sum(volume) over so_far as volume_before,
        sum(close * volume) over so_far as dollar_volume_before,
        sum({{ typical_price() }} * volume) over so_far as typical_dollars_before,
        max(high) over so_far as high_before,
        max(high) over half_hour as base_high,
        min(low) over half_hour as base_low,
        sum(ln(close / previous_close) ** 2) over half_hour as squared_returns_before,
        lag(minute_of_session, 10) over by_minute as tenth_minute_before,
        lag(minute_of_session, 9) over by_minute as minute_of_ninth_return,
        lag(previous_close, 9) over by_minute as close_before_ninth_return
    from bars
    where {{ within_reach('bar_at', window_minutes()) }}
    window
        by_minute as (
            partition by symbol, session_date, session_segment order by minute_of_session
        ),
        so_far as (
            partition by symbol, session_date, session_segment
            order by minute_of_session rows between unbounded preceding and 1 preceding
        ),
        half_hour as (
            partition by symbol, session_date, session_segment
            order by minute_of_session range between 30 preceding and 1 preceding
        )
),

known_before as (
    select
        windowed.symbol,
        windowed.session_date,
        windowed.session_segment,
        windowed.bar_at,
        windowed.available_at,
        windowed.minute_of_session,
        windowed.open,
        windowed.high,
        windowed.low,
        windowed.close,
        windowed.volume,
        windowed.previous_close as close_before,
        {{ add_up('windowed.volume_before', 'earlier.volume') }} as volume_before,
        {{ add_up('windowed.dollar_volume_before', 'earlier.dollar_volume') }}
            as dollar_volume_before,
        {{ add_up('windowed.typical_dollars_before', 'earlier.typical_dollars') }}
            as typical_dollars_before,
        greatest(windowed.high_before, earlier.high) as high_before,
        {# ten bars are in a window when the tenth one back is: lags are cheaper than counts #}
        case
            when windowed.minute_of_session - windowed.tenth_minute_before <= 30
                then windowed.base_high / windowed.base_low - 1
        end as base_range,
        windowed.squared_returns_before,
        coalesce(
            windowed.minute_of_session - windowed.minute_of_ninth_return <= 30
            and windowed.close_before_ninth_return is not null,
            false
        ) as has_nine_returns_before,
        session_opens.session_open,
        daily_state.previous_close as previous_session_close,
        daily_state.atr5_pct,
        daily_state.pump_days_60d,
        usual_volume.usual_volume,
        usual_volume.usual_volume_so_far
    from windowed
    left join earlier
        on
            windowed.symbol = earlier.symbol
            and windowed.session_date = earlier.session_date
            and windowed.session_segment = earlier.session_segment
    left join daily_state
        on windowed.symbol = daily_state.symbol and windowed.session_date = daily_state.session_date
    left join usual_volume
        on windowed.symbol = usual_volume.symbol and windowed.bar_at = usual_volume.bar_at
    left join session_opens
        on
            windowed.symbol = session_opens.symbol
            and windowed.session_date = session_opens.session_date
    where {{ within_reach('windowed.bar_at', 0) }}
)

select * from known_before
