{# One row per (session_date, symbol) to be watched in that session; fixed before its open. #}
with scores as (
    select *
    from {{ ref('int_scanner_scores') }}
    {{ in_scope('int_sessions_in_scope', 'session_date') }}
),

inputs as (
    select *
    from {{ ref('int_scanner_inputs') }}
    {{ in_scope('int_sessions_in_scope', 'session_date') }}
),

ranked as (
    select
        scores.session_date,
        scores.symbol,
        scores.score,
        row_number() over (
            partition by scores.session_date
            order by scores.score desc, inputs.dollar_volume_20d desc, scores.symbol asc
        ) as rank,
        scores.volatility_points,
        scores.pump_habit_points,
        scores.relative_volume_points,
        scores.liquidity_points,
        scores.tightness_points,
        inputs.company_name,
        inputs.exchange,
        inputs.last_close as previous_close,
        inputs.market_cap,
        inputs.atr5_pct,
        inputs.pump_days_60d,
        inputs.relative_volume,
        inputs.dollar_volume_20d,
        scores.edge_21d
    from scores
    inner join inputs using (session_date, symbol)
    where scores.score >= {{ var('score_min') }}
)

select * from ranked
where rank <= {{ var('watchlist_size') }}
