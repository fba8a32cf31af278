{# One row per (symbol, session_date, session_segment): sums and extremes of the bars that are too
   old for the windows of features_1m; none where a read asks for all bars. See macros/bounds.sql.
   #}
with bars as (select * from {{ ref('int_bars_in_scope') }}),

earlier as (
    select
        symbol,
        session_date,
        session_segment,
        sum(volume) as volume,
        sum(close * volume) as dollar_volume,
        sum({{ typical_price() }} * volume) as typical_dollars,
        max(high) as high
    from bars
    where {{ beyond_reach('bar_at', window_minutes()) }}
    group by symbol, session_date, session_segment
)

select * from earlier
