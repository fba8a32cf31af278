{# One row per (symbol, session_date, evaluated_at) whose features can be other ones now because
   bars have changed since; case_symbol names the state of the session at that moment. #}
with cells as (select * from {{ ref('int_differing_cells') }}),

versions as (select * from {{ ref('int_bar_versions') }}),

evaluations as (
    select
        symbol,
        session_date,
        evaluated_at,
        max(bar_at) as last_bar_at
    from cells
    where evaluated_at is not null
    group by symbol, session_date, evaluated_at
),

changed as (
    select evaluations.*
    from evaluations
    semi join versions
        on
            evaluations.symbol = versions.symbol
            and evaluations.session_date = versions.session_date
            and evaluations.evaluated_at < versions.landed_at
            and evaluations.last_bar_at >= versions.bar_at
)

select
    *,
    symbol || ' as of ' || evaluated_at as case_symbol
from changed
