{# One row per (run_id, horizon_minutes): what was trained. #}
with source as (select * from {{ source('raw', 'model_runs') }}),

renamed as (
    select
        run_id,
        horizon_minutes,
        trained_at,
        definition_hash,
        feature_count,
        session_count,
        row_count,
        thr,
        metrics,
        params,
        is_promoted,
        outcome,
        provider,
        landed_at
    from source
)

select * from renamed
