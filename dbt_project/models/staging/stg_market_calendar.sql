{# One row per XNYS session: its segments' bounds, UTC. #}
with source as (select * from {{ source('raw', 'market_calendar') }}),

renamed as (
    select
        session_date,
        pre_open_at,
        open_at,
        close_at,
        post_close_at,
        is_half_day,
        provider,
        landed_at
    from source
)

select * from renamed
