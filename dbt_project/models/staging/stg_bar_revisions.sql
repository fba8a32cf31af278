{# One row per superseded version of a one-minute bar. #}
with source as (select * from {{ source('raw', 'bar_revisions') }}),

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
        landed_at,
        superseded_at
    from source
)

select * from renamed
