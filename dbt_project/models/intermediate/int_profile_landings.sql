{# One row per as_of_date: a fingerprint of all profiles known by then, with what the master files
   say of their symbols. #}
with profiles as (select * from {{ ref('stg_profiles') }}),

universe as (select * from {{ ref('stg_universe') }}),

landed as (
    select
        profiles.as_of_date,
        bit_xor(hash(
            profiles.symbol,
            profiles.provider,
            profiles.company_name,
            profiles.market_cap,
            profiles.price,
            profiles.exchange,
            profiles.is_etf,
            profiles.is_fund,
            profiles.is_actively_trading,
            universe.is_etf,
            universe.is_test_issue
        )) as profiles_hash
    from profiles
    left join universe on profiles.symbol = universe.symbol
    group by profiles.as_of_date
)

select
    as_of_date,
    bit_xor(hash(as_of_date, profiles_hash)) over (
        order by as_of_date rows unbounded preceding
    ) as profiles_hash
from landed
