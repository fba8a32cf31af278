{# One row per (symbol, split_date, provider); 2:1 is numerator 2, denominator 1. #}
with source as (select * from {{ source('raw', 'splits') }}),

renamed as (
    select
        symbol,
        split_date,
        numerator,
        denominator,
        provider,
        landed_at
    from source
)

select * from renamed
