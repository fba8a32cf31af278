{# Expressions that several models share. #}

{# A division by zero is null. #}
{% macro safe_divide(numerator, denominator) -%}
    ({{ numerator }}) / nullif({{ denominator }}, 0)
{%- endmacro %}

{# The greatest of the true range's three terms; null without the close before
   (greatest and least skip nulls, so it must be said). #}
{% macro true_range(high, low, close_before) -%}
    case
        when {{ close_before }} is not null
            then greatest({{ high }}, {{ close_before }}) - least({{ low }}, {{ close_before }})
    end
{%- endmacro %}

{# Where providers have the same row, the least of this counts: the first in the var
   provider_priority, then the last landed. #}
{% macro provider_rank() -%}
    row(
        coalesce(list_position({{ var('provider_priority') }}, provider), 999),
        -epoch_us(landed_at), provider
    )
{%- endmacro %}

{% macro typical_price() -%} (high + low + close) / 3 {%- endmacro %}

{# The sum of two figures of which either may be unknown. #}
{% macro add_up(left, right) -%}
    coalesce({{ left }} + {{ right }}, {{ left }}, {{ right }})
{%- endmacro %}

{# The latest 5-minute mark at or before a moment. #}
{% macro spread_mark(available_at) -%}
    time_bucket(interval 5 minutes, {{ available_at }})
{%- endmacro %}

{# A hash of a set of rows, in whatever order they come. Each row is hashed twice: hash(a, b) is linear
   in b under xor, so a change that an even number of rows have in common would cancel out. #}
{% macro set_hash() -%}
    bit_xor(hash(hash({{ varargs | join(', ') }})))
{%- endmacro %}

{# Whether two figures are the same: sums differ in their last digits by the order of their terms. #}
{% macro same_value(left, right) -%}
    (
        {{ left }} is not distinct from {{ right }}
        or coalesce(abs({{ left }} - {{ right }}) <= 1e-9 * greatest(1, abs({{ right }})), false)
    )
{%- endmacro %}
