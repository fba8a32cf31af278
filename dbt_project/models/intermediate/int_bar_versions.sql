{# One row per version of a minute bar, current or superseded (superseded_at is infinity while it is
   current). #}
with current_bars as (
    select
        *,
        'infinity'::timestamp as superseded_at
    from {{ ref('stg_bars_1m') }}
    {{ in_scope('int_sessions_in_scope', 'session_date') }}
),

revisions as (
    select *
    from {{ ref('stg_bar_revisions') }}
    {{ in_scope('int_sessions_in_scope', 'session_date') }}
),

versions as (
    select * from current_bars
    union all by name
    select * from revisions
)

select
    *,
    min(landed_at) over (partition by symbol, session_date, bar_at) as first_landed_at
from versions
