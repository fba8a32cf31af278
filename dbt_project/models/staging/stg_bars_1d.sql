{# One row per (symbol, session_date, provider): daily bars as traded. #}
with source as (select * from {{ source('raw', 'bars_1d') }}),

renamed as (
    select
        symbol,
        session_date,
        open,
        high,
        low,
        close,
        volume,
        provider,
        landed_at
    from source
)

select * from renamed
