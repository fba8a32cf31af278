{# One row per (state, session_segment): how many provisional signals of it did not hold. #}
with provisional_signals as (select * from {{ ref('provisional_signals') }}),

counted as (
    select
        state,
        session_segment,
        count(*) as raised_count,
        count(*) filter (where outcome = 'confirmed') as confirmed_count,
        count(*) filter (where outcome = 'retracted') as retracted_count,
        median(seconds_to_outcome) as median_seconds_to_outcome
    from provisional_signals
    group by state, session_segment
)

select
    *,
    {{ safe_divide('retracted_count', 'confirmed_count + retracted_count') }} as retraction_rate
from counted
