{# One row per symbol that may pass the scanner of the coming session by its latest profile: what
   daily bars are bought for. #}
with profiles as (select * from {{ ref('int_scanner_inputs') }}),

coming as (select * from {{ ref('coming_session') }}),

passing as (
    select profiles.symbol
    from profiles
    inner join coming on profiles.session_date = coming.session_date
    where
        profiles.is_common_stock
        and profiles.price between {{ var('price_min') }} and {{ var('price_max') }}
        and profiles.market_cap
        between {{ var('market_cap_min') }} and {{ var('market_cap_max') }}
)

select * from passing
