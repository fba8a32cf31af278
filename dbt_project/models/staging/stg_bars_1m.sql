{# One row per (symbol, bar_at, provider): the current version of each one-minute bar. #}
with source as (select * from {{ source('raw', 'bars_1m') }}),

renamed as (
    select
        symbol,
        session_date,
        bar_at,
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
