{# One row per (symbol, session_date): every session with minute bars of the symbol, and the coming
   one. Its place among the symbol's baseline sessions (those that say what volume is usual: no half
   day, with an RTH bar), its split factor, and fingerprints of all that usual volume, features and
   labels of that session are made from. #}
with sessions as (select * from {{ ref('int_sessions_built') }}),

coming as (select * from {{ ref('coming_session') }}),

landed as (select * from {{ ref('int_landed_bars') }}),

session_bars as (select * from {{ ref('int_session_bars') }}),

daily_state as (select * from {{ ref('int_daily_state') }}),

split_factors as (select * from {{ ref('int_split_factors') }}),

as_of as (select * from {{ ref('int_newest_minute_landing') }}),

symbol_sessions as (
    select
        symbol,
        session_date
    from landed
    union
    select
        landed.symbol,
        coming.session_date
    from landed
    cross join coming
    where landed.session_date <= coming.session_date
),

described as (
    select
        symbol_sessions.symbol,
        symbol_sessions.session_date,
        landed.bars_fingerprint,
        coalesce(landed.row_count, 390) as row_count,
        coalesce(session_bars.rth_bar_count > 0 and not sessions.is_half_day, false) as is_baseline,
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
    left join session_bars
        on
            symbol_sessions.symbol = session_bars.symbol
            and symbol_sessions.session_date = session_bars.session_date
    left join daily_state
        on
            symbol_sessions.symbol = daily_state.symbol
            and symbol_sessions.session_date = daily_state.session_date
),

numbered as (
    select
        described.*,
        coalesce(split_factors.split_factor, 1) as split_factor,
        count(*) filter (where is_baseline) over (
            partition by described.symbol order by described.session_date
            rows between unbounded preceding and 1 preceding
        ) as baseline_number
    from described
    asof left join split_factors
        on
            described.symbol = split_factors.symbol
            and described.session_date >= split_factors.split_date
),

with_baseline as (
    select
        *,
        least(baseline_number, {{ var('rvol_sessions') }}) as baseline_count,
        bit_xor(hash(session_date, bars_fingerprint, split_factor)) filter (
            where is_baseline
        ) over (
            partition by symbol order by baseline_number
            range between {{ var('rvol_sessions') }} preceding and 1 preceding
        ) as baseline_hash
    from numbered
)

select
    symbol,
    session_date,
    row_count,
    split_factor,
    is_baseline,
    baseline_number,
    baseline_count,
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
