{# One row per (symbol, bar_at, evaluated_at, feature) where live and batch differ. A bar of a
   watched symbol that live never evaluated has null as evaluated_at. #}
with served as (select * from {{ ref('int_served_rows') }}),

watched as (
    select distinct
        symbol,
        session_date
    from {{ ref('stg_served_inputs') }}
),

batch as (
    select *
    from {{ ref('int_batch_features') }}
    {{ in_scope('int_sessions_in_scope', 'session_date') }}
    semi join watched using (symbol, session_date)
),

{# What is not built yet can't be compared. #}
comparable as (
    select served.*
    from served
    semi join batch using (session_date)
),

definitions as (select * from {{ ref('feature_definitions') }}),

cells as (
    select
        symbol,
        session_date,
        bar_at,
        comparable.evaluated_at,
        definitions.feature,
        definitions.lookback,
        comparable.definition_hash != definitions.definition_hash as is_redefined,
        comparable.daily_state_hash,
        comparable.usual_volume_hash,
        {{ value_of('comparable', 'definitions.feature') }} as served_value,
        {{ value_of('batch', 'definitions.feature') }} as batch_value
    from comparable
    full outer join batch using (symbol, session_date, bar_at)
    cross join definitions
)

select
    *,
    case
        when served_value is null then 'missing'
        when batch_value is null then 'extra'
        else 'mismatch'
    end as kind
from cells
where not {{ same_value('served_value', 'batch_value') }}
