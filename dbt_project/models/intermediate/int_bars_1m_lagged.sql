{# One row per bar, with the bar before it: the latest earlier bar of the segment, if at most
   max_bar_age_min minutes older; else the previous_ columns are null. #}
with bars as (select * from {{ ref('int_bars_1m') }}),

lagged as (
    select
        *,
        minute_of_session - lag(minute_of_session) over by_minute
        <= {{ var('max_bar_age_min') }} as has_bar_before,
        lag(high) over by_minute as high_before,
        lag(low) over by_minute as low_before,
        lag(close) over by_minute as close_before
    from bars
    window
        by_minute as (
            partition by symbol, session_date, session_segment order by minute_of_session
        )
),

fresh as (
    select
        * exclude (high_before, low_before, close_before),
        case when has_bar_before then high_before end as previous_high,
        case when has_bar_before then low_before end as previous_low,
        case when has_bar_before then close_before end as previous_close
    from lagged
)

select * from fresh
