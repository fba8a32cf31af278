{# One row per row that could not be used, and why. #}
with source as (select * from {{ source('raw', 'rejected_rows') }}),

renamed as (
    select
        table_name,
        row_text,
        reason,
        request_id,
        provider,
        landed_at
    from source
)

select * from renamed
