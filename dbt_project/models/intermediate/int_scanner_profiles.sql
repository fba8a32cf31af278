{# One row per (symbol, session_date it is for): the symbol's profile as it was known before that
   session. What the master files say of a symbol (ETF, test issue) counts in every session. A market
   cap without end is none. #}
with sessions as (select * from {{ ref('int_sessions_in_scope') }}),

universe as (select * from {{ ref('stg_universe') }}),

profiles as (
    select *
    from {{ ref('stg_profiles') }}
    qualify
        row_number() over (
            partition by symbol, as_of_date order by {{ provider_rank() }}
        ) = 1
),

symbols as (select distinct symbol from profiles),

known as (
    select
        symbols.symbol,
        sessions.session_date,
        profiles.company_name,
        case when isfinite(profiles.market_cap) then profiles.market_cap end as market_cap,
        profiles.price,
        profiles.exchange,
        {{ is_common_stock('profiles', 'universe') }} as is_common_stock
    from symbols
    cross join sessions
    asof inner join profiles
        on
            symbols.symbol = profiles.symbol
            and sessions.session_date > profiles.as_of_date
    left join universe on symbols.symbol = universe.symbol
)

select * from known
