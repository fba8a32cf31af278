{# One row per symbol of the exchange master files. #}
with source as (select * from {{ source('raw', 'universe') }}),

renamed as (
    select
        symbol,
        exchange,
        name,
        is_etf,
        is_test_issue,
        provider,
        landed_at
    from source
)

select * from renamed
