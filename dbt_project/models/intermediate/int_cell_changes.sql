{# One row per differing cell in whose look-back bars have landed since it was evaluated: whether
   any of them was not there at all before. #}
with cells as (select * from {{ ref('int_differing_cells') }}),

versions as (select * from {{ ref('int_bar_versions') }}),

reaching as (
    select
        *,
        {# look-backs that name no minutes go back to the segment's or the session's start #}
        case
            when lookback like '%minutes%'
                then bar_at - to_minutes(regexp_extract(lookback, '(\d+) minutes', 1)::integer)
            else '-infinity'::timestamp
        end as reach_from
    from cells
)

select
    reaching.symbol,
    reaching.bar_at,
    reaching.evaluated_at,
    reaching.feature,
    bool_or(versions.first_landed_at > reaching.evaluated_at) as has_late_bar
from reaching
inner join versions
    on
        reaching.symbol = versions.symbol
        and reaching.session_date = versions.session_date
        and reaching.evaluated_at < versions.landed_at
        and versions.bar_at between reaching.reach_from and reaching.bar_at
group by reaching.symbol, reaching.bar_at, reaching.evaluated_at, reaching.feature
