{# One row per (symbol, quoted_at, provider): best bid and ask. #}
with source as (select * from {{ source('raw', 'quotes') }}),

renamed as (
    select
        symbol,
        quoted_at,
        bid,
        ask,
        bid_size,
        ask_size,
        provider,
        landed_at
    from source
)

select * from renamed
