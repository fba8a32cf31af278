{# The rules of a signal, in the order in which a bar is told what it fails: an expression over
   states_1m's features, on which side of which column of signal_rules it must be, and the features
   whose null_rule says why it is null. The first one makes a RePump of a FirstPump; the others are
   needed for either. #}
{% macro entry_rules() %}
    {% do return([
        {
            'rule': 'pumped', 'value': 'greatest(gap, prior_high_gain)', 'comparison': '>=',
            'threshold': 'gap_min', 'features': ['gap', 'prior_high_gain'],
        },
        {
            'rule': 'rvol_1m', 'value': 'rvol_1m', 'comparison': '>=',
            'threshold': 'rvol_min', 'features': ['rvol_1m'],
        },
        {
            'rule': 'base_range', 'value': 'base_range', 'comparison': '<=',
            'threshold': 'base_range_max', 'features': ['base_range'],
        },
        {
            'rule': 'move_prev', 'value': 'move_prev', 'comparison': '>=',
            'threshold': 'move_min', 'features': ['move_prev'],
        },
        {
            'rule': 'spread', 'value': 'spread', 'comparison': '<=',
            'threshold': 'spread_max', 'features': ['spread_est'], 'passes_unknown': true,
        },
    ]) %}
{% endmacro %}

{# Whether the bar passes the rule of that name; `prefix` 'candidate_' is the loose gate's bound. An
   unknown value fails, unless the rule lets it pass. #}
{% macro passes_rule(name, prefix='') -%}
    {%- set rule = entry_rules() | selectattr('rule', 'equalto', name) | first -%}
    coalesce(
        {{ rule.value }} {{ rule.comparison }} rules.{{ prefix }}{{ rule.threshold }},
        {{ rule.passes_unknown | default(false) | lower }}
    )
{%- endmacro %}

{# Whether the bar breaks out of a quiet base on unusual volume. #}
{% macro entry_gate(prefix='') -%}
    {%- for rule in entry_rules() if rule.rule != 'pumped' -%}
        {{ passes_rule(rule.rule, prefix) }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
