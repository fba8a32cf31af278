{# A read that wants rows from a moment on says so with `set variable rows_from = …` on its own
   connection. Every model then looks only as far back as those rows can reach: no value changes, and
   the cost no longer grows with the day. Without the variable (in the warehouse, in ad hoc SQL) there
   is no bound. The live service reads the newest minutes so. #}

{# Whether a bar is within reach of the wanted rows, which look `minutes` back. #}
{% macro within_reach(bar_at, minutes) -%}
    {%- if model.resource_type == 'unit_test' -%} true
    {%- else -%} {{ bar_at }} >= {{ reach_from(minutes) }}
    {%- endif -%}
{%- endmacro %}

{% macro beyond_reach(bar_at, minutes) -%}
    {%- if model.resource_type == 'unit_test' -%} false
    {%- else -%} {{ bar_at }} < {{ reach_from(minutes) }}
    {%- endif -%}
{%- endmacro %}

{% macro reach_from(minutes) -%}
    coalesce(
        getvariable('rows_from')::timestamp - to_minutes({{ minutes }}), '-infinity'::timestamp
    )
{%- endmacro %}

{# The longest window by clock of int_known_before. What looks further back is kept beside it: the
   bar before in int_bars_1m_lagged, the spread in int_spread_marks, sums in int_earlier_sums. #}
{% macro window_minutes() -%} 30 {%- endmacro %}
