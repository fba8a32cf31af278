{# One row per session that is built: every session with bars, and the coming one, from the
   calendar. With fingerprints of what lands per session, for what is built from it: that of the session's own
   daily bars, and of all that was known up to or before the session. #}
with sessions as (select * from {{ ref('int_sessions') }}),

coming as (select * from {{ ref('coming_session') }}),

daily as (
    select
        session_date,
        count(*) as row_count,
        bit_xor(hash(symbol, open, high, low, close, volume, provider, landed_at)) as bars_hash
    from {{ ref('stg_bars_1d') }}
    group by session_date
),

minutes as (
    select
        session_date,
        count(*) as row_count,
        bit_xor(hash(symbol, rth_open, rth_high, rth_low, rth_close, rth_volume)) as bars_hash
    from {{ ref('int_session_bars') }}
    group by session_date
),

splits as (
    select
        split_date,
        bit_xor(hash(symbol, split_date, split_factor)) over (
            order by split_date range unbounded preceding
        ) as splits_hash
    from {{ ref('int_split_factors') }}
),

profiles as (select * from {{ ref('int_profile_landings') }}),

numbered as (
    select
        sessions.*,
        daily.session_date is not null or minutes.session_date is not null
        or coming.session_date is not null as is_built,
        coalesce(daily.row_count, 0) + coalesce(minutes.row_count, 0) as row_count,
        hash(daily.bars_hash, minutes.bars_hash) as bars_hash
    from sessions
    left join daily on sessions.session_date = daily.session_date
    left join minutes on sessions.session_date = minutes.session_date
    left join coming on sessions.session_date = coming.session_date
),

built as (
    select session_date
    from numbered
    where is_built
),

with_splits as (
    select
        numbered.*,
        splits.splits_hash
    from numbered
    asof left join splits on numbered.session_date >= splits.split_date
),

with_history as (
    select
        *,
        hash(bars_hash, splits_hash) as daily_fingerprint,
        bit_xor(hash(session_date, daily_fingerprint)) over (
            order by session_date rows unbounded preceding
        ) as features_hash,
        bit_xor(hash(session_date, daily_fingerprint)) over (
            order by session_date rows between unbounded preceding and 1 preceding
        ) as history_hash
    from with_splits
    where session_date >= (select min(built.session_date) from built)
)

select
    with_history.* exclude (is_built, bars_hash, splits_hash, features_hash, history_hash),
    hash(with_history.features_hash) as daily_features_fingerprint,
    hash(with_history.history_hash, with_history.splits_hash) as daily_state_fingerprint,
    hash(daily_state_fingerprint, profiles.profiles_hash) as scanner_fingerprint
from with_history
asof left join profiles on with_history.session_date > profiles.as_of_date
where with_history.is_built
