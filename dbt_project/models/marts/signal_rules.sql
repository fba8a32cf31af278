{# One row: the rules in force, read by every state and echoed in every signal. #}
select
    {% for rule in ['gap_min', 'rvol_min', 'base_range_max', 'move_min', 'spread_max'] %}
        {{ var(rule) }}::double as {{ rule }},
    {% endfor %}
    {% for rule in ['rvol_min', 'base_range_max', 'move_min', 'spread_max'] %}
        {{ var('candidate_' ~ rule) }}::double as candidate_{{ rule }},
    {% endfor %}
    {{ var('cooldown_min') }}::integer as cooldown_min,
    {{ var('provisional_signals') }}::boolean as provisional_signals
