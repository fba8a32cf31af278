{# One row per (symbol, as_of_date, provider): what was known of a company then. #}
with source as (select * from {{ source('raw', 'profiles') }}),

renamed as (
    select
        symbol,
        as_of_date,
        company_name,
        market_cap,
        price,
        exchange,
        sector,
        industry,
        country,
        is_etf,
        is_fund,
        is_adr,
        is_actively_trading,
        provider,
        landed_at
    from source
)

select * from renamed
