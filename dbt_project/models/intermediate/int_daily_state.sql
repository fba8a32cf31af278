{# One row per (symbol, session_date it is for): the symbol's daily features before that session,
   from its latest earlier daily bar, however old; prices on that session's split basis. #}
with sessions as (select * from {{ ref('int_sessions_in_scope') }}),

features as (select * from {{ ref('int_daily_features') }}),

split_factors as (select * from {{ ref('int_split_factors') }}),

numbered_sessions as (
    select
        session_date,
        session_number
    from {{ ref('int_sessions') }}
),

symbols as (
    select
        symbol,
        min(session_date) as first_session_date
    from features
    group by symbol
),

spine as (
    select
        symbols.symbol,
        sessions.session_date,
        sessions.session_number
    from symbols
    inner join sessions on symbols.first_session_date < sessions.session_date
),

spine_with_factors as (
    select
        spine.*,
        coalesce(split_factors.split_factor, 1) as split_factor_for
    from spine
    asof left join split_factors
        on
            spine.symbol = split_factors.symbol
            and spine.session_date >= split_factors.split_date
),

state as (
    select
        spine_with_factors.symbol,
        spine_with_factors.session_date,
        features.session_date as last_session_date,
        spine_with_factors.session_number - numbered_sessions.session_number as sessions_since_last,
        features.close_as_traded * features.split_factor
        / spine_with_factors.split_factor_for as previous_close,
        features.session_count,
        features.dollar_volume_20d,
        log10(nullif(features.dollar_volume_20d, 0)) as log10_dollar_volume,
        features.atr5_pct,
        features.pump_days_60d,
        features.relative_volume
    from spine_with_factors
    asof inner join features
        on
            spine_with_factors.symbol = features.symbol
            and spine_with_factors.session_date > features.session_date
    inner join numbered_sessions on features.session_date = numbered_sessions.session_date
)

select * from state
