{# One row per (symbol, bar_at) of every bar in a segment: the features as of the bar's close. The
   one definition that training, the live service, replays and tests all read. #}
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

spread_marks as (select * from {{ ref('int_spread_marks') }}),

windowed as (
    select
        *,
        sum(volume) over so_far as volume_so_far,
        sum(close * volume) over so_far as dollar_volume_so_far,
        sum({{ typical_price() }} * volume) over so_far as typical_dollars_so_far,
        max(high) over before_this_bar as high_before,
        max(high) over base as base_high,
        min(low) over base as base_low,
        sum(ln(close / previous_close) ** 2) over half_hour as squared_returns,
        lag(minute_of_session, 10) over by_minute as tenth_minute_before,
        lag(minute_of_session, 9) over by_minute as minute_of_tenth_return,
        lag(previous_close, 9) over by_minute as close_before_tenth_return
    from bars
    where {{ within_reach('bar_at', window_minutes()) }}
    window
        by_minute as (
            partition by symbol, session_date, session_segment order by minute_of_session
        ),
        so_far as (
            partition by symbol, session_date, session_segment
            order by minute_of_session rows unbounded preceding
        ),
        before_this_bar as (
            partition by symbol, session_date, session_segment
            order by minute_of_session rows between unbounded preceding and 1 preceding
        ),
        base as (
            partition by symbol, session_date, session_segment
            order by minute_of_session range between 30 preceding and 1 preceding
        ),
        half_hour as (
            partition by symbol, session_date, session_segment
            order by minute_of_session range between 30 preceding and current row
        )
),

with_earlier as (
    select
        windowed.* replace (
            {{ add_up('windowed.volume_so_far', 'earlier.volume') }} as volume_so_far,
            {{ add_up('windowed.dollar_volume_so_far', 'earlier.dollar_volume') }}
                as dollar_volume_so_far,
            {{ add_up('windowed.typical_dollars_so_far', 'earlier.typical_dollars') }}
                as typical_dollars_so_far,
            greatest(windowed.high_before, earlier.high) as high_before
        )
    from windowed
    left join earlier
        on
            windowed.symbol = earlier.symbol
            and windowed.session_date = earlier.session_date
            and windowed.session_segment = earlier.session_segment
),

features as (
    select
        bars.symbol,
        bars.session_date,
        bars.session_segment,
        bars.bar_at,
        bars.available_at,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
        bars.volume,
        {{ safe_divide('bars.volume', 'usual_volume.usual_volume') }} as rvol_1m,
        {{ safe_divide('bars.volume_so_far', 'usual_volume.usual_volume_so_far') }} as rvol_day,
        {# ten bars are in a window when the tenth one back is: lags are cheaper than counts #}
        case
            when bars.minute_of_session - bars.tenth_minute_before <= 30
                then bars.base_high / bars.base_low - 1
        end as base_range,
        bars.close / bars.previous_close - 1 as move_prev,
        spread_marks.spread_est,
        {{ safe_divide('bars.typical_dollars_so_far', 'bars.volume_so_far') }} as vwap,
        bars.close / vwap - 1 as vwap_distance,
        case
            when bars.session_segment != 'PRE'
                then session_opens.session_open / daily_state.previous_close - 1
        end as gap,
        bars.close / daily_state.previous_close - 1 as change_from_prev_close,
        bars.high_before / daily_state.previous_close - 1 as prior_high_gain,
        daily_state.atr5_pct,
        daily_state.pump_days_60d,
        {{ safe_divide('base_range', 'daily_state.atr5_pct') }} as range_atr,
        bars.minute_of_session as minutes_since_open,
        ln(1 + bars.dollar_volume_so_far) as log_dollar_volume,
        case
            when
                bars.minute_of_session - bars.minute_of_tenth_return <= 30
                and bars.close_before_tenth_return is not null
                then sqrt(bars.squared_returns)
        end as realized_vol_30m
    from with_earlier as bars
    left join daily_state
        on bars.symbol = daily_state.symbol and bars.session_date = daily_state.session_date
    left join usual_volume
        on bars.symbol = usual_volume.symbol and bars.bar_at = usual_volume.bar_at
    left join session_opens
        on bars.symbol = session_opens.symbol and bars.session_date = session_opens.session_date
    left join spread_marks
        on
            bars.symbol = spread_marks.symbol
            and bars.session_segment = spread_marks.session_segment
            and {{ spread_mark('bars.available_at') }} = spread_marks.mark_at
    where {{ within_reach('bars.bar_at', 0) }}
)

select * from features
