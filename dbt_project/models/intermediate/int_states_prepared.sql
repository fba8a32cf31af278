{# Only in live.duckdb. The rows of states_1m for the bars that int_bars_prepared has rows for: the
   texts of features_1m and states_1m themselves, with those rows in the place of what
   int_known_before works out. They are prepared for the bars of one provider, so that none is to be
   preferred to another here. What is read is bounded by those rows, not by a variable, so that its
   plan can be kept (live/prepared.py). #}
{% do [ref('features_1m'), ref('int_spread_marks')] %}
{% do [ref('states_1m'), ref('signal_rules')] %}
with int_known_before as (
    select
        prepared.* replace (
            bars.open as open,
            bars.high as high,
            bars.low as low,
            bars.close as close,
            bars.volume as volume
        )
    from {{ ref('stg_bars_1m') }} as bars
    inner join {{ ref('int_bars_prepared') }} as prepared
        on bars.symbol = prepared.symbol and bars.bar_at = prepared.bar_at
),

features_1m as (
    {{ text_over_ctes('features_1m', ['int_known_before']) }}
),

stg_quotes as (
    select * from {{ ref('stg_quotes') }}
    where quoted_at > (select min(bar_at) from {{ ref('int_bars_prepared') }})
),

states_1m as (
    {{ text_over_ctes('states_1m', ['features_1m', 'stg_quotes']) }}
)

select * from states_1m
