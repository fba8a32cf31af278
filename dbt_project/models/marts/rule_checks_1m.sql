{# One row per (symbol, bar_at, rule): the rules that states_1m decides by, each with its figure,
   its bound and by how much it fails. The cooldown is none: it is of signals, not of bars. #}
with states as (select * from {{ ref('states_1m') }}),

rules as (select * from {{ ref('signal_rules') }}),

definitions as (select * from {{ ref('feature_definitions') }}),

null_rules as (
    {% for rule in entry_rules() %}
        select
            '{{ rule.rule }}' as rule,
            string_agg(feature || ': ' || null_rule, '; ' order by ordinal) as null_rule
        from definitions
        where feature in {{ "('" ~ rule.features | join("', '") ~ "')" }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

checks as (
    select
        states.symbol,
        states.session_date,
        states.session_segment,
        states.bar_at,
        states.available_at,
        states.state,
        unnest(
            [
                {% for rule in entry_rules() %}
                    struct_pack(
                        ordinal := {{ loop.index }},
                        rule := '{{ rule.rule }}',
                        value := {{ rule.value }},
                        comparison := '{{ rule.comparison }}',
                        threshold_name := '{{ rule.threshold }}',
                        threshold := rules.{{ rule.threshold }},
                        passes := {{ passes_rule(rule.rule) }},
                        is_required := {{ (rule.rule != 'pumped') | lower }}
                    ){{ ',' if not loop.last }}
                {% endfor %}
            ],
            max_depth := 2
        )
    from states
    cross join rules
)

select
    checks.*,
    case when not checks.passes then abs(checks.value - checks.threshold) end as fails_by,
    {{ safe_divide('fails_by', 'checks.threshold') }} as fails_by_fraction,
    case when checks.value is null then null_rules.null_rule end as null_rule
from checks
inner join null_rules on checks.rule = null_rules.rule
