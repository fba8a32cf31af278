{# One row per signal that the rules give: entries of states_1m, less those within cooldown_min of
   the symbol's last one. The live service applies the same cooldown as bars come in. #}
with states as (
    select
        symbol,
        session_date,
        session_segment,
        bar_at,
        available_at,
        state
    from {{ ref('states_1m') }}
    where is_entry
),

rules as (select * from {{ ref('signal_rules') }}),

entry_lists as (
    select
        states.symbol,
        states.session_date,
        any_value(rules.cooldown_min) as cooldown_min,
        list([states.bar_at] order by states.bar_at) as entries
    from states
    cross join rules
    group by states.symbol, states.session_date
),

kept as (
    select
        symbol,
        session_date,
        unnest(
            {# sqlfluff cannot read a lambda of two parameters #}
            list_reduce( -- noqa: LT01
                entries, -- noqa: PRS
                lambda fired, entry: case
                    when entry[1] >= fired[-1] + to_minutes(cooldown_min)
                        then fired || entry
                    else fired
                end
            )
        ) as bar_at
    from entry_lists
)

select states.*
from states
inner join kept using (symbol, session_date, bar_at)
