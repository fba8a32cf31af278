{# One row per (symbol, session_date) and change: what the live service's features were made from,
   besides bars. #}
with source as (select * from {{ source('raw', 'served_inputs') }}),

renamed as (
    select
        symbol,
        session_date,
        definition_hash,
        feature_names,
        daily_state_hash,
        usual_volume_hash,
        provider,
        landed_at
    from source
)

select * from renamed
