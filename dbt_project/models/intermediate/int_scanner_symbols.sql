{# One row per symbol that may pass the scanner of the coming session by its latest profile: what daily
   bars are bought for. #}
with profiles as (select * from {{ ref('stg_profiles') }}),

universe as (select * from {{ ref('stg_universe') }}),

coming as (select * from {{ ref('coming_session') }}),

latest as (
    select profiles.*
    from profiles
    inner join coming on profiles.as_of_date < coming.session_date
    qualify
        row_number() over (
            partition by symbol order by as_of_date desc, {{ best_provider_first() }}
        ) = 1
)

select latest.symbol
from latest
left join universe using (symbol)
where
    {{ is_common_stock('latest', 'universe') }}
    and latest.price between {{ var('price_min') }} and {{ var('price_max') }}
    and latest.market_cap between {{ var('market_cap_min') }} and {{ var('market_cap_max') }}
