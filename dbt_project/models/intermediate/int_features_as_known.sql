{# One row per (symbol, bar_at, evaluated_at) of int_known_cases: the features that the one
   definition gives over the bars as they were known at that moment, with the nightly tables as they
   are now. #}
with known_cases as (select * from {{ ref('int_known_cases') }}),

known_bars as (
    select
        known_cases.case_symbol as symbol,
        versions.* exclude (symbol, superseded_at, first_landed_at)
    from {{ ref('int_bar_versions') }} as versions
    inner join known_cases
        on
            versions.symbol = known_cases.symbol
            and versions.session_date = known_cases.session_date
            and versions.bar_at <= known_cases.last_bar_at
            and versions.landed_at <= known_cases.evaluated_at
            and versions.superseded_at > known_cases.evaluated_at
),

{# From here to features_1m: its own text. #}
{% do ref('features_1m') %}
{{ features_over('known_bars', 'known_cases') }}

select
    known_cases.symbol,
    known_cases.session_date,
    features_1m.bar_at,
    known_cases.evaluated_at,
    {{ feature_names() }} as feature_names,
    {{ feature_values() }} as features
from features_1m
inner join known_cases
    on
        features_1m.symbol = known_cases.case_symbol
        and features_1m.session_date = known_cases.session_date
