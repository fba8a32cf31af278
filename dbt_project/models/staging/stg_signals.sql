{# One row per signal that was sent. #}
with source as (select * from {{ source('raw', 'signals') }}),

renamed as (
    select
        seq,
        emitted_at,
        session_date,
        session_segment,
        symbol,
        bar_at,
        state,
        price,
        vwap,
        rvol_1m,
        base_range,
        spread,
        spread_source,
        move_prev,
        score,
        thr,
        model_run,
        payload,
        provider,
        landed_at
    from source
)

select * from renamed
