{# Whether the bar breaks out of a quiet base on unusual volume; `prefix` 'candidate_' is the loose
   gate. #}
{% macro entry_gate(prefix='') -%}
    coalesce(
        rvol_1m >= rules.{{ prefix }}rvol_min
        and base_range <= rules.{{ prefix }}base_range_max
        and move_prev >= rules.{{ prefix }}move_min
        and (spread is null or spread <= rules.{{ prefix }}spread_max),
        false
    )
{%- endmacro %}
