{# One row per (session_date, symbol) that passes the funnel up to the score. #}
{% set components = ['volatility', 'pump_habit', 'relative_volume', 'liquidity', 'tightness'] -%}
with points as (select * from {{ ref('int_scanner_points') }}),

scores as (
    select
        session_date,
        symbol,
        {% for component in components %}
            sum(points) filter (where component = '{{ component }}') as {{ component }}_points,
        {% endfor %}
        sum(points) as score
    from points
    group by session_date, symbol
)

select
    scores.*,
    spreads.edge_21d
from scores
left join {{ ref('int_scanner_spreads') }} as spreads using (session_date, symbol)
