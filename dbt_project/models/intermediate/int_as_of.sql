{# One row: the moment of the newest thing landed, which is "now" for everything built here. #}
with landings as (
    {% for model in ['stg_fetch_log', 'stg_bars_1m', 'stg_bars_1d', 'stg_profiles', 'stg_market_calendar'] %}
    select max(landed_at) as landed_at from {{ ref(model) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select max(landed_at) as as_of_at from landings
