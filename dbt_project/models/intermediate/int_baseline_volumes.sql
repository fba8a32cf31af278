{# One row per (symbol, baseline_number, session_segment): the volumes of the segment's minutes from
   first_minute on as a list, summed over the rvol_sessions baseline sessions before the one of that
   number, on the basis of the symbol's first split. A minute without a bar counts as volume 0. #}
with symbol_sessions as (select * from {{ ref('int_symbol_sessions') }}),

bars as (select * from {{ ref('int_bars_1m_lagged') }}),

{# One list of minutes for all sessions: the segment of a half day lies elsewhere. #}
spans as (
    select
        session_segment,
        min(first_minute) as first_minute,
        max(first_minute + minute_count) - 1 as last_minute
    from {{ ref('int_segments') }}
    group by session_segment
),

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

traded as (
    select
        baseline.symbol,
        baseline.baseline_number,
        bars.session_segment,
        list(bars.minute_of_session order by bars.minute_of_session) as minutes,
        list(
            coalesce(bars.volume, 0) / baseline.split_factor order by bars.minute_of_session
        ) as volumes
    from bars
    inner join baseline
        on bars.symbol = baseline.symbol and bars.session_date = baseline.session_date
    group by baseline.symbol, baseline.baseline_number, bars.session_segment
),

segments as (
    select distinct
        symbol,
        session_segment
    from traded
),

session_volumes as (
    select
        baseline.symbol,
        baseline.baseline_number,
        segments.session_segment,
        spans.first_minute,
        case
            when traded.minutes is null
                then list_resize([]::double[], spans.last_minute - spans.first_minute + 1, 0)
            else {{ every_minute(
                'traded.minutes', 'traded.volumes', 'spans.first_minute', 'spans.last_minute'
            ) }}
        end as volumes
    from baseline
    inner join segments using (symbol)
    inner join spans using (session_segment)
    left join traded using (symbol, baseline_number, session_segment)
),

summed as (
    {{ lists_over_rows(
        'session_volumes', 'volumes', var('rvol_sessions'),
        'symbol, session_segment', 'baseline_number'
    ) }}
)

select
    symbol,
    baseline_number,
    session_segment,
    first_minute,
    total as summed_volumes
from summed
