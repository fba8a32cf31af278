{# One row per (symbol, session_date) with minute bars in a segment: its RTH bar, and counts. #}
with bars as (select * from {{ ref('int_bars_in_scope') }}),

session_bars as (
    select
        symbol,
        session_date,
        count(*) as segment_bar_count,
        count(*) filter (where session_segment = 'RTH') as rth_bar_count,
        count(*) filter (where session_segment = 'RTH' and volume = 0) as rth_zero_volume_count,
        arg_min(open, minute_of_session) filter (where session_segment = 'RTH') as rth_open,
        max(high) filter (where session_segment = 'RTH') as rth_high,
        min(low) filter (where session_segment = 'RTH') as rth_low,
        arg_max(close, minute_of_session) filter (where session_segment = 'RTH') as rth_close,
        sum(volume) filter (where session_segment = 'RTH') as rth_volume
    from bars
    group by symbol, session_date
)

select * from session_bars
