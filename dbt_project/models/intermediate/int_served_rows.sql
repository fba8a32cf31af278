{# One row per (symbol, bar_at, evaluated_at): features as the live service had them at that moment,
   with what they were made from. #}
with served as (
    select *
    from {{ ref('stg_served_features') }}
    {{ in_scope('int_sessions_in_scope', 'session_date') }}
),

inputs as (select * from {{ ref('stg_served_inputs') }})

select
    served.symbol,
    served.session_date,
    served.bar_at,
    served.landed_at as evaluated_at,
    served.features,
    inputs.feature_names,
    inputs.definition_hash,
    inputs.daily_state_hash,
    inputs.usual_volume_hash
from served
asof left join inputs
    on
        served.symbol = inputs.symbol
        and served.session_date = inputs.session_date
        and served.landed_at >= inputs.landed_at
