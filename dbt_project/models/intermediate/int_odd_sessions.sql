{# One row per (symbol, session_date) whose minute bars are not one each in a segment and traded:
   bars outside every segment, bars that several providers have, and the longest run of RTH bars with
   volume 0. Only these are looked at bar by bar. #}
with landed as (select * from {{ ref('int_landed_bars') }}),

session_bars as (select * from {{ ref('int_session_bars') }}),

candidates as (
    select
        landed.symbol,
        landed.session_date,
        landed.row_count,
        coalesce(session_bars.segment_bar_count, 0) as segment_bar_count
    from landed
    left join session_bars
        on landed.symbol = session_bars.symbol and landed.session_date = session_bars.session_date
    where
        landed.row_count is distinct from session_bars.segment_bar_count
        or session_bars.rth_zero_volume_count > 1
),

bar_counts as (
    select
        bars.symbol,
        bars.session_date,
        count(distinct bars.bar_at) as bar_count
    from {{ ref('stg_bars_1m') }} as bars
    semi join candidates using (symbol, session_date)
    group by bars.symbol, bars.session_date
),

numbered as (
    select
        symbol,
        session_date,
        volume,
        row_number() over (partition by symbol, session_date order by minute_of_session)
        - row_number() over (
            partition by symbol, session_date, volume = 0 order by minute_of_session
        ) as run
    from {{ ref('int_bars_1m_lagged') }}
    semi join candidates using (symbol, session_date)
    where session_segment = 'RTH'
),

runs as (
    select
        symbol,
        session_date,
        count(*) as bar_count
    from numbered
    where volume = 0
    group by symbol, session_date, run
),

longest_runs as (
    select
        symbol,
        session_date,
        max(bar_count) as zero_volume_run
    from runs
    group by symbol, session_date
)

select
    candidates.symbol,
    candidates.session_date,
    bar_counts.bar_count - candidates.segment_bar_count as outside_bar_count,
    candidates.row_count - bar_counts.bar_count as duplicate_version_count,
    longest_runs.zero_volume_run
from candidates
left join bar_counts using (symbol, session_date)
left join longest_runs using (symbol, session_date)
