{# One row per (symbol, session_date it is for, session_segment, minute_of_session): what volume is
   usual at that minute, over the baseline sessions; none where there are fewer than
   rvol_min_sessions, or where the segment never traded. #}
with symbol_sessions as (
    select *
    from {{ ref('int_symbol_sessions') }}
    {{ in_scope(after='int_session_inputs') }}
),

baseline_volumes as (select * from {{ ref('int_baseline_volumes') }}),

segments as (select * from {{ ref('int_segments') }}),

{# The minutes of the segment as it is in this session. #}
summed as (
    select
        symbol_sessions.symbol,
        symbol_sessions.session_date,
        symbol_sessions.baseline_count,
        symbol_sessions.split_factor,
        segments.session_segment,
        segments.starts_at,
        segments.first_minute,
        segments.minute_count,
        list_slice(
            baseline_volumes.summed_volumes,
            segments.first_minute - baseline_volumes.first_minute + 1,
            segments.first_minute - baseline_volumes.first_minute + segments.minute_count
        ) as volumes
    from symbol_sessions
    inner join baseline_volumes using (symbol, baseline_number)
    inner join segments using (session_date, session_segment)
    where symbol_sessions.baseline_count >= {{ var('rvol_min_sessions') }}
),

with_sums as (
    {{ running_sums('summed', 'volumes', 960) }}
),

{% set around = var('rvol_smooth_minutes') %}
padded as (
    select
        *,
        list_resize([]::double[], {{ around }}, 0)
        || list_resize(volumes, minute_count + {{ around }}, 0) as padded_volumes
    from with_sums
),

by_minute as (
    select
        symbol,
        session_date,
        session_segment,
        first_minute,
        starts_at,
        split_factor / baseline_count as per_session,
        unnest(range(minute_count)) as minute_of_segment,
        unnest({{ means_around('padded_volumes', around) }}) as mean_volume,
        unnest(so_far) as volume_so_far
    from padded
)

{# Sums of whole shares are exact in any order, so the division comes last. #}
select
    symbol,
    session_date,
    session_segment,
    (first_minute + minute_of_segment)::integer as minute_of_session,
    starts_at + to_minutes(minute_of_segment) as bar_at,
    mean_volume * per_session as usual_volume,
    volume_so_far * per_session as usual_volume_so_far
from by_minute
