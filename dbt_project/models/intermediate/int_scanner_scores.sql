{# One row per (session_date, symbol) that passes the funnel up to the score. #}
with points as (select * from {{ ref('int_scanner_points') }}),

scores as (
    select
        session_date,
        symbol,
        sum(points) as score,
        {%- for component in ['volatility', 'pump_habit', 'relative_volume', 'liquidity', 'tightness'] %}
        sum(points) filter (where component = '{{ component }}') as {{ component }}_points
        {{- ',' if not loop.last }}
        {%- endfor %}
    from points
    group by session_date, symbol
)

select * from scores
