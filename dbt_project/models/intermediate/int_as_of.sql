{# One row: the moment of the newest landing of market data, which is "now" for all that is built
   here. (The calendar may land at any time and says nothing of the market.) #}
with landings as (
    {% for model in ['stg_fetch_log', 'int_landed_bars', 'stg_bars_1d', 'stg_profiles'] %}
        select max(landed_at) as landed_at from {{ ref(model) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select max(landed_at) as as_of_at from landings
