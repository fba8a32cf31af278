{# One row per (symbol, baseline_number, session_segment, minute_of_session): the volume of that
   minute, summed over the rvol_sessions baseline sessions before the one of that number, on the
   basis of the symbol's first split. A minute without a bar counts as volume 0. #}
with symbol_sessions as (select * from {{ ref('int_symbol_sessions') }}),

bars as (select * from {{ ref('int_bars_1m_lagged') }}),

minutes as (select * from {{ ref('int_segment_minutes') }}),

wanted as (
    select
        symbol,
        min(baseline_number) as first_number,
        max(baseline_number) as last_number
    from symbol_sessions
    {{ in_scope() }}
    group by symbol
),

baseline as (
    select
        symbol_sessions.symbol,
        symbol_sessions.session_date,
        symbol_sessions.baseline_number + 1 as baseline_number,
        symbol_sessions.split_factor
    from symbol_sessions
    inner join wanted using (symbol)
    where
        symbol_sessions.is_baseline
        and symbol_sessions.baseline_number
        between wanted.first_number - {{ var('rvol_sessions') }} and wanted.last_number - 1
),

volumes as (
    select
        baseline.symbol,
        baseline.session_date,
        bars.session_segment,
        bars.minute_of_session,
        bars.volume / baseline.split_factor as volume
    from bars
    inner join baseline
        on bars.symbol = baseline.symbol and bars.session_date = baseline.session_date
),

segments as (
    select distinct
        symbol,
        session_segment
    from volumes
),

grid as (
    select
        baseline.symbol,
        baseline.baseline_number,
        minutes.session_segment,
        minutes.minute_of_session,
        coalesce(volumes.volume, 0) as volume
    from baseline
    inner join segments using (symbol)
    inner join minutes using (session_date, session_segment)
    left join volumes using (symbol, session_date, session_segment, minute_of_session)
)

select
    symbol,
    baseline_number,
    session_segment,
    minute_of_session,
    sum(volume) over (
        partition by symbol, session_segment, minute_of_session
        order by baseline_number rows {{ var('rvol_sessions') - 1 }} preceding
    ) as summed_volume
from grid
