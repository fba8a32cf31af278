{# One row per label that both barriers touched: whether the target was touched in an earlier bar
   than the stop. One row per (symbol, session_date, session_segment, bar_at, horizon_minutes,
   is_net). #}
with entries as (select * from {{ ref('int_label_entries') }}),

bars as (select * from {{ ref('int_bars_in_scope') }}),

entries_and_costs as (
    select
        *,
        1 as factor,
        false as is_net
    from entries
    union all
    select
        *,
        cost_factor as factor,
        true as is_net
    from entries
),

undecided as (
    {% for minutes in var('label_windows') %}
        select
            symbol,
            session_date,
            session_segment,
            bar_at,
            entry_at,
            {{ minutes }} as horizon_minutes,
            is_net,
            entry_price * factor * (1 + {{ var('label_up') }}) as target_price,
            entry_price * factor * (1 + {{ var('label_down') }}) as stop_price
        from entries_and_costs
        where
            is_complete_{{ minutes }}m
            and horizon_high_{{ minutes }}m >= target_price
            and horizon_low_{{ minutes }}m <= stop_price
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

horizon_minutes as (
    select
        undecided.*,
        entry_at + to_minutes(unnest(range(horizon_minutes))) as horizon_bar_at
    from undecided
),

touches as (
    select
        horizon_minutes.symbol,
        horizon_minutes.session_date,
        horizon_minutes.session_segment,
        horizon_minutes.bar_at,
        horizon_minutes.horizon_minutes,
        horizon_minutes.is_net,
        min(bars.bar_at) filter (where bars.high >= target_price) as target_at,
        min(bars.bar_at) filter (where bars.low <= stop_price) as stop_at
    from horizon_minutes
    inner join bars
        on
            horizon_minutes.symbol = bars.symbol
            and horizon_minutes.session_date = bars.session_date
            and horizon_minutes.horizon_bar_at = bars.bar_at
    group by all
)

select
    symbol,
    session_date,
    session_segment,
    bar_at,
    horizon_minutes,
    is_net,
    target_at < stop_at as is_hit
from touches
