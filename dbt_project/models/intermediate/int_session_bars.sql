{# One row per (symbol, session_date) with minute bars, in a segment or not: counts and the last
   close. #}
with bars as (select * from {{ ref('stg_bars_1m') }}),

segmented as (select * from {{ ref('int_bars_1m') }}),

revisions as (
    select
        symbol,
        session_date,
        count(*) as revision_count
    from {{ ref('stg_bar_revisions') }}
    group by symbol, session_date
),

landed as (
    select
        symbol,
        session_date,
        count(distinct bar_at) as bar_count
    from bars
    group by symbol, session_date
),

in_segments as (
    select
        symbol,
        session_date,
        count(*) as segment_bar_count,
        count(*) filter (where session_segment = 'RTH') as rth_bar_count,
        count(*) filter (where session_segment = 'RTH' and volume = 0) as rth_zero_volume_count,
        arg_max(close, minute_of_session) filter (where session_segment = 'RTH') as rth_close
    from segmented
    group by symbol, session_date
)

select
    landed.symbol,
    landed.session_date,
    landed.bar_count - coalesce(in_segments.segment_bar_count, 0) as outside_bar_count,
    coalesce(in_segments.rth_bar_count, 0) as rth_bar_count,
    coalesce(in_segments.rth_zero_volume_count, 0) as rth_zero_volume_count,
    in_segments.rth_close,
    coalesce(revisions.revision_count, 0) as revision_count
from landed
left join in_segments
    on landed.symbol = in_segments.symbol and landed.session_date = in_segments.session_date
left join revisions
    on landed.symbol = revisions.symbol and landed.session_date = revisions.session_date
