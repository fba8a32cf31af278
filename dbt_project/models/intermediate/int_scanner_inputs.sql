{# One row per (symbol, session_date it is for): what the scanner knows before the open, and the step of
   the funnel that the symbol fails first (null: it passes all but the score). #}
with daily_state as (select * from {{ ref('int_daily_state') }}),

universe as (select * from {{ ref('stg_universe') }}),

profiles as (
    select *
    from {{ ref('stg_profiles') }}
    qualify
        row_number() over (
            partition by symbol, as_of_date order by {{ best_provider_first() }}
        ) = 1
),

with_profiles as (
    select
        daily_state.*,
        profiles.company_name,
        profiles.market_cap,
        profiles.exchange,
        profiles.is_etf,
        profiles.is_fund,
        profiles.is_actively_trading
    from daily_state
    asof inner join profiles
        on
            daily_state.symbol = profiles.symbol
            and daily_state.session_date > profiles.as_of_date
),

steps as (
    select
        with_profiles.*,
        case
            when not {{ is_common_stock('with_profiles', 'universe') }} then 1
            when
                not coalesce(
                    with_profiles.previous_close
                    between {{ var('price_min') }} and {{ var('price_max') }}
                    and with_profiles.market_cap
                    between {{ var('market_cap_min') }} and {{ var('market_cap_max') }},
                    false
                ) then 2
            when not coalesce(with_profiles.atr5_pct >= {{ var('atr5_pct_min') }}, false) then 3
            when
                not coalesce(
                    with_profiles.session_count >= {{ var('min_sessions') }}
                    and with_profiles.sessions_since_last <= {{ var('max_stale_sessions') }}
                    and with_profiles.dollar_volume_20d >= {{ var('min_dollar_volume_20d') }},
                    false
                ) then 4
        end as failed_step
    from with_profiles
    left join universe using (symbol)
)

select * from steps
