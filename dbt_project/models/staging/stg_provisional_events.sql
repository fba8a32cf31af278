{# One row per provisional signal that was raised, and one for what became of it. #}
with source as (select * from {{ source('raw', 'provisional_events') }}),

renamed as (
    select
        symbol,
        session_date,
        session_segment,
        bar_at,
        event,
        state,
        price,
        seq,
        happened_at,
        provider,
        landed_at
    from source
)

select * from renamed
