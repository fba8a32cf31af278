{# One row per row of features_1m, its features as a list: what live is held against. Not tagged
   `live`, so that in live.duckdb too it is what the warehouse built. #}
select
    symbol,
    session_date,
    bar_at,
    {{ feature_names() }} as feature_names,
    {{ feature_values() }} as features
from {{ ref('features_1m') }}
