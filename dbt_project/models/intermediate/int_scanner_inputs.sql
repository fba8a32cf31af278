{# One row per (symbol, session_date it is for): what the scanner knows before the open, and the
   step of the funnel that the symbol fails first (null: it passes all but the score). The last
   close is that of the daily series or, where no daily bar was bought, the profile's price. #}
with profiles as (select * from {{ ref('int_scanner_profiles') }}),

daily_state as (
    select *
    from {{ ref('int_daily_state') }}
    {{ in_scope('int_sessions_in_scope', 'session_date') }}
),

inputs as (
    select
        profiles.symbol,
        profiles.session_date,
        profiles.company_name,
        profiles.exchange,
        profiles.is_common_stock,
        profiles.market_cap,
        profiles.price,
        coalesce(daily_state.previous_close, profiles.price) as last_close,
        daily_state.* exclude (symbol, session_date)
    from profiles
    left join daily_state
        on
            profiles.symbol = daily_state.symbol
            and profiles.session_date = daily_state.session_date
),

steps as (
    select
        *,
        case
            when not is_common_stock then 1
            when
                not coalesce(
                    last_close between {{ var('price_min') }} and {{ var('price_max') }}
                    and market_cap
                    between {{ var('market_cap_min') }} and {{ var('market_cap_max') }},
                    false
                ) then 2
            when not coalesce(atr5_pct >= {{ var('atr5_pct_min') }}, false) then 3
            when
                not coalesce(
                    session_count >= {{ var('min_sessions') }}
                    and sessions_since_last <= {{ var('max_stale_sessions') }}
                    and dollar_volume_20d >= {{ var('min_dollar_volume_20d') }},
                    false
                ) then 4
        end as failed_step
    from inputs
)

select * from steps
