{# The version of each minute bar that was the current one at the moment `known_at`: bars that had
   landed by then, with those that later versions have superseded since. #}
{% macro bars_as_known(bars, revisions, known_at) %}
    {% set columns = 'symbol, session_date, bar_at, open, high, low, close, volume, provider, landed_at' %}
    select {{ columns }}
    from {{ bars }}
    where landed_at <= {{ known_at }}
    union all
    select {{ columns }}
    from {{ revisions }}
    where landed_at <= {{ known_at }} and superseded_at > {{ known_at }}
{% endmacro %}
