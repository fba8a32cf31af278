{# One row per evaluation of a bar that gave something new: the features and state that the live
   service worked with. #}
with source as (select * from {{ source('raw', 'served_features') }}),

renamed as (
    select
        symbol,
        session_date,
        bar_at,
        state,
        is_entry,
        features,
        provider,
        landed_at
    from source
)

select * from renamed
