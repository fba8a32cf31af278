{# One row per request to a provider. #}
with source as (select * from {{ source('raw', 'fetch_log') }}),

renamed as (
    select
        request_id,
        requested_at,
        endpoint,
        symbol,
        from_date,
        to_date,
        params,
        status,
        outcome,
        row_count,
        byte_count,
        seconds,
        attempts,
        provider,
        landed_at
    from source
)

select * from renamed
