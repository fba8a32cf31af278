{# One row per (session_date, symbol, component): the points of seeds/scanner_score.csv, linear
   between the value at zero and the value at full points, clipped; a null input scores 0. #}
{% set inputs = [
    'atr5_pct', 'pump_days_60d', 'relative_volume', 'log10_dollar_volume', 'edge_21d'
] -%}
with passing as (
    select
        {% for input in inputs %}
            {{ input }}::double as {{ input }},
        {% endfor %}
        session_date,
        symbol
    from {{ ref('int_scanner_inputs') }}
    left join {{ ref('int_scanner_spreads') }} using (symbol, session_date)
    {{ in_scope('int_sessions_in_scope', 'session_date') }}
    where failed_step is null
),

components as (select * from {{ ref('scanner_score') }}),

input_values as (
    from passing
    unpivot include nulls (input_value for input_column in ({{ inputs | join(', ') }}))
),

points as (
    select
        input_values.session_date,
        input_values.symbol,
        components.component,
        {# greatest skips nulls, so a null input scores 0 #}
        components.points * least(
            greatest(
                (input_values.input_value - components.value_at_zero)
                / (components.value_at_full - components.value_at_zero),
                0
            ),
            1
        ) as points
    from input_values
    inner join components using (input_column)
)

select * from points
