{# One row per (symbol, bar_at) of every bar in a segment: the features as of the bar's close. The
   one definition that training, the live service, replays and tests all read. #}
with known_before as (select * from {{ ref('int_known_before') }}),

spread_marks as (select * from {{ ref('int_spread_marks') }}),

with_the_bar as (
    select
        *,
        {{ add_up('volume_before', 'volume') }} as volume_so_far,
        {{ add_up('dollar_volume_before', 'close * volume') }} as dollar_volume_so_far,
        {{ add_up('typical_dollars_before', typical_price() ~ ' * volume') }}
            as typical_dollars_so_far,
        {{ add_up('squared_returns_before', 'ln(close / close_before) ** 2') }} as squared_returns
    from known_before
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
        {{ safe_divide('bars.volume', 'bars.usual_volume') }} as rvol_1m,
        {{ safe_divide('bars.volume_so_far', 'bars.usual_volume_so_far') }} as rvol_day,
        bars.base_range,
        bars.close / bars.close_before - 1 as move_prev,
        spread_marks.spread_est,
        {{ safe_divide('bars.typical_dollars_so_far', 'bars.volume_so_far') }} as vwap,
        bars.close / vwap - 1 as vwap_distance,
        {# The first RTH bar is the one that opens the session. #}
        case
            when bars.session_segment = 'RTH'
                then coalesce(bars.session_open, bars.open) / bars.previous_session_close - 1
            when bars.session_segment = 'POST'
                then bars.session_open / bars.previous_session_close - 1
        end as gap,
        bars.close / bars.previous_session_close - 1 as change_from_prev_close,
        bars.high_before / bars.previous_session_close - 1 as prior_high_gain,
        bars.atr5_pct,
        bars.pump_days_60d,
        {{ safe_divide('bars.base_range', 'bars.atr5_pct') }} as range_atr,
        bars.minute_of_session as minutes_since_open,
        ln(1 + bars.dollar_volume_so_far) as log_dollar_volume,
        case when bars.has_nine_returns_before then sqrt(bars.squared_returns) end
            as realized_vol_30m
    from with_the_bar as bars
    left join spread_marks
        on
            bars.symbol = spread_marks.symbol
            and bars.session_segment = spread_marks.session_segment
            and {{ spread_mark('bars.available_at') }} = spread_marks.mark_at
)

select * from features
