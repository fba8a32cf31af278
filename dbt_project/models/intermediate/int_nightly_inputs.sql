{# One row per (symbol, session_date it is for): hashes of what its features are made from besides
   bars. The live service keeps them as they were when it served (raw.served_inputs). #}
with daily_state as (select * from {{ ref('int_daily_state') }}),

usual_volume as (
    select
        symbol,
        session_date,
        {{ set_hash('bar_at', 'usual_volume', 'usual_volume_so_far') }} as usual_volume_hash
    from {{ ref('int_usual_volume_by_minute') }}
    group by symbol, session_date
),

hashed as (
    select
        symbol,
        session_date,
        hash(daily_state) as daily_state_hash
    from daily_state
)

select
    symbol,
    session_date,
    hashed.daily_state_hash,
    usual_volume.usual_volume_hash
from hashed
full outer join usual_volume using (symbol, session_date)
