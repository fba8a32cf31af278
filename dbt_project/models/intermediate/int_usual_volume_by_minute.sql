{# One row per (symbol, session_date it is for, session_segment, minute_of_session): what volume is
   usual at that minute, over the baseline sessions; none where there are fewer than
   rvol_min_sessions, or where the segment never traded. #}
with symbol_sessions as (
    select *
    from {{ ref('int_symbol_sessions') }}
    {{ in_scope(after='int_session_inputs') }}
),

baseline_volumes as (select * from {{ ref('int_baseline_volumes') }}),

minutes as (select * from {{ ref('int_segment_minutes') }}),

segments as (
    select distinct
        symbol,
        session_segment
    from baseline_volumes
),

grid as (
    select
        symbol_sessions.symbol,
        symbol_sessions.session_date,
        symbol_sessions.baseline_count,
        minutes.session_segment,
        minutes.minute_of_session,
        minutes.bar_at,
        coalesce(baseline_volumes.summed_volume, 0) * symbol_sessions.split_factor as summed_volume
    from symbol_sessions
    inner join segments using (symbol)
    inner join minutes using (session_date, session_segment)
    left join baseline_volumes using (symbol, baseline_number, session_segment, minute_of_session)
    where symbol_sessions.baseline_count >= {{ var('rvol_min_sessions') }}
),

{# Sums of whole shares are exact in any order, so the division comes last. The frame looks past the
   minute, not past the session it is for: all of it is history there. #}
smoothed as (
    select
        symbol,
        session_date,
        session_segment,
        minute_of_session,
        bar_at,
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
