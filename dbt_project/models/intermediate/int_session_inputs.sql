{# One row per (symbol, session_date) of int_symbol_sessions: fingerprints of all that its usual
   volume, its features and its labels are made from; null where there are to be none. #}
with symbol_sessions as (select * from {{ ref('int_symbol_sessions') }}),

sessions as (select * from {{ ref('int_sessions_built') }}),

landed as (select * from {{ ref('int_landed_bars') }}),

daily_state as (select * from {{ ref('int_daily_state') }}),

as_of as (select * from {{ ref('int_newest_minute_landing') }}),

inputs as (
    select
        symbol_sessions.*,
        landed.bars_fingerprint,
        coalesce(landed.row_count, 390) as row_count,
        sessions.post_close_at <= as_of.landed_at as is_ended,
        hash(sessions.pre_open_at, sessions.open_at, sessions.close_at, sessions.post_close_at)
            as segments_hash,
        hash(daily_state.previous_close, daily_state.atr5_pct, daily_state.pump_days_60d)
            as state_hash
    from symbol_sessions
    inner join sessions on symbol_sessions.session_date = sessions.session_date
    cross join as_of
    left join landed
        on
            symbol_sessions.symbol = landed.symbol
            and symbol_sessions.session_date = landed.session_date
    left join daily_state
        on
            symbol_sessions.symbol = daily_state.symbol
            and symbol_sessions.session_date = daily_state.session_date
),

with_baseline as (
    select
        *,
        {{ set_hash('session_date', 'bars_fingerprint', 'split_factor') }} filter (
            where is_baseline
        ) over (
            partition by symbol order by baseline_number
            range between {{ var('rvol_sessions') }} preceding and 1 preceding
        ) as baseline_hash
    from inputs
)

select
    symbol,
    session_date,
    row_count,
    case
        when baseline_count >= {{ var('rvol_min_sessions') }}
            then hash(segments_hash, split_factor, baseline_count, baseline_hash)
    end as usual_volume_fingerprint,
    case
        when bars_fingerprint is not null
            then hash(bars_fingerprint, state_hash, usual_volume_fingerprint)
    end as features_fingerprint,
    case when is_ended then features_fingerprint end as labels_fingerprint
from with_baseline
