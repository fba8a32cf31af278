{# Whether the target is reached before the stop, from the extremes of the horizon; where both were
   touched, only the order of the bars can settle it: `first_touch` (int_first_touches).
   `cost_factor` scales the barriers: what the market must do so that the trade, after costs, does
   the rest. #}
{% macro hit_label(minutes, cost_factor, first_touch) -%}
    case
        when
            horizon_high_{{ minutes }}m
            < entry_price * {{ cost_factor }} * (1 + {{ var('label_up') }})
            then false
        when
            horizon_low_{{ minutes }}m
            > entry_price * {{ cost_factor }} * (1 + {{ var('label_down') }})
            then true
        else {{ first_touch }}
    end
{%- endmacro %}
