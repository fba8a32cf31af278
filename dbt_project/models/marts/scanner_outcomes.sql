{# One row per (session_date it is for, symbol) that the scanner looked at: the step of the funnel
   that it fails first, or that it is watched. #}
with inputs as (select * from {{ ref('int_scanner_inputs') }}),

scores as (select * from {{ ref('int_scanner_scores') }}),

watchlist as (select * from {{ ref('watchlist') }}),

steps as (select * from {{ ref('scanner_steps') }}),

requirements (step, requirement) as (
    values
    (1, 'common stock on {{ var("scanner_exchanges") | join(", ") }}, actively trading'),
    (
        2,
        'last_close from {{ var("price_min") }} to {{ var("price_max") }}, market_cap from '
        || '{{ var("market_cap_min") | int }} to {{ var("market_cap_max") | int }} dollars'
    ),
    (3, 'atr5_pct of {{ var("atr5_pct_min") }} or more'),
    (
        4,
        'session_count of {{ var("min_sessions") }} or more, sessions_since_last of '
        || '{{ var("max_stale_sessions") }} or less, dollar_volume_20d of '
        || '{{ var("min_dollar_volume_20d") | int }} dollars or more'
    ),
    (5, 'score of {{ var("score_min") }} or more, among the best {{ var("watchlist_size") }}')
),

outcomes as (
    select
        inputs.session_date,
        inputs.symbol,
        watchlist.symbol is not null as is_watched,
        case when not is_watched then coalesce(inputs.failed_step, 5) end as failed_step,
        inputs.last_close,
        inputs.market_cap,
        inputs.atr5_pct,
        inputs.session_count,
        inputs.sessions_since_last,
        inputs.dollar_volume_20d,
        scores.score,
        watchlist.rank
    from inputs
    left join scores
        on inputs.symbol = scores.symbol and inputs.session_date = scores.session_date
    left join watchlist
        on inputs.symbol = watchlist.symbol and inputs.session_date = watchlist.session_date
)

select
    outcomes.*,
    steps.step_name,
    requirements.requirement
from outcomes
left join steps on outcomes.failed_step = steps.step
left join requirements on outcomes.failed_step = requirements.step
