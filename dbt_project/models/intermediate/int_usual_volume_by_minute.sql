{# One row per (symbol, session_date it is for, session_segment, minute_of_session): what volume is
   usual at that minute, over the baseline sessions; a minute without a bar counts as volume 0. #}
with baseline as (select * from {{ ref('int_baseline_sessions') }}),

bars as (select * from {{ ref('int_bars_1m') }}),

minutes as (select * from {{ ref('int_segment_minutes') }}),

minute_sums as (
    select
        baseline.symbol,
        baseline.session_date,
        bars.session_segment,
        bars.minute_of_session,
        any_value(baseline.baseline_count) as baseline_count,
        sum(bars.volume * baseline.volume_factor) as summed_volume
    from baseline
    inner join bars
        on
            baseline.symbol = bars.symbol
            and baseline.baseline_date = bars.session_date
    group by all
),

segments as (
    select
        symbol,
        session_date,
        session_segment,
        any_value(baseline_count) as baseline_count
    from minute_sums
    group by all
),

grid as (
    select
        segments.symbol,
        segments.session_date,
        segments.session_segment,
        minutes.minute_of_session,
        segments.baseline_count,
        coalesce(minute_sums.summed_volume, 0) as summed_volume
    from segments
    inner join minutes using (session_date, session_segment)
    left join minute_sums using (symbol, session_date, session_segment, minute_of_session)
),

{# Sums of whole shares are exact in any order, so the division comes last. The frame looks past the
   minute, not past the session it is for: all of it is history there. #}
smoothed as (
    select
        symbol,
        session_date,
        session_segment,
        minute_of_session,
        avg(summed_volume) over (
            by_minute
            rows between {{ var('rvol_smooth_minutes') }} preceding
            and {{ var('rvol_smooth_minutes') }} following
        ) / baseline_count as usual_volume,
        sum(summed_volume) over (by_minute rows unbounded preceding)
        / baseline_count as usual_volume_so_far
    from grid
    window
        by_minute as (
            partition by symbol, session_date, session_segment order by minute_of_session
        )
)

select * from smoothed
