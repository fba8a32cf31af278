{# One row per (run_id, horizon_minutes): what was trained, on what, and how good it was. #}
select * from {{ ref('stg_model_runs') }}
