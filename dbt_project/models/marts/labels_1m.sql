{# One row per (symbol, bar_at) of every bar of an ended session: what came of buying at the next
   bar's open. The only mart that looks forward. #}
with entries as (select * from {{ ref('int_label_entries') }}),

first_touches as (
    select
        {% for minutes in var('label_windows') %}
            any_value(is_hit) filter (where horizon_minutes = {{ minutes }} and not is_net)
                as first_touch_{{ minutes }}m,
            any_value(is_hit) filter (where horizon_minutes = {{ minutes }} and is_net)
                as first_touch_{{ minutes }}m_net,
        {% endfor %}
        symbol,
        bar_at
    from {{ ref('int_first_touches') }}
    group by symbol, bar_at
),

labels as (
    select
        entries.symbol,
        entries.session_date,
        entries.session_segment,
        entries.bar_at,
        {% for minutes in var('label_windows') %}
            entries.is_complete_{{ minutes }}m,
            case
                when is_complete_{{ minutes }}m
                    then greatest(horizon_high_{{ minutes }}m / entry_price - 1, 0)
            end as mfe_{{ minutes }}m,
            case
                when is_complete_{{ minutes }}m
                    then least(horizon_low_{{ minutes }}m / entry_price - 1, 0)
            end as mae_{{ minutes }}m,
            case
                when is_complete_{{ minutes }}m
                    then {{ hit_label(minutes, '1', 'first_touch_' ~ minutes ~ 'm') }}
            end as hit_{{ minutes }}m,
            case
                when is_complete_{{ minutes }}m and cost_factor is not null
                    then {{ hit_label(
                        minutes, 'cost_factor', 'first_touch_' ~ minutes ~ 'm_net'
                    ) }}
            end as hit_{{ minutes }}m_net,
        {% endfor %}
        entries.entry_at,
        entries.entry_price
    from entries
    left join first_touches using (symbol, bar_at)
)

select * from labels
