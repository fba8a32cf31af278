{# One row per symbol with minute bars: how it trades, and what came of its candidates, over the
   latest lookback_days sessions. #}
with sessions as (
    select session_date
    from {{ ref('int_sessions_built') }}
    order by session_date desc
    limit {{ var('lookback_days') + 1 }}
),

first_session as (select min(session_date) as session_date from sessions),

training_rows as (
    select *
    from {{ ref('training_rows') }}
    where session_date >= (select first_session.session_date from first_session)
),

entries as (
    select
        symbol,
        count(*) as entry_count,
        count(*) filter (where state = 'RePump') as repump_count
    from {{ ref('entries_1m') }}
    where session_date >= (select first_session.session_date from first_session)
    group by symbol
),

stats as (
    select
        symbol,
        min(session_date) as first_session_date,
        max(session_date) as last_session_date,
        count(distinct session_date) as session_count,
        count(*) as bar_count,
        arg_max(close, bar_at) as last_close,
        median(spread_est) as median_spread_est,
        avg(atr5_pct) as mean_atr5_pct,
        count(distinct session_date) filter (where prior_high_gain >= {{ var('gap_min') }})
            as pumped_session_count,
        count(*) filter (where is_candidate) as candidate_count,
        avg(hit_30m::integer) filter (where is_candidate) as candidate_hit_rate_30m,
        avg(mfe_30m) filter (where is_candidate) as candidate_mean_mfe_30m,
        avg(mae_30m) filter (where is_candidate) as candidate_mean_mae_30m
    from training_rows
    group by symbol
)

select
    stats.*,
    coalesce(entries.entry_count, 0) as entry_count,
    coalesce(entries.repump_count, 0) as repump_count
from stats
left join entries using (symbol)
