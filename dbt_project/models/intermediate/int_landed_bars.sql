{# One row per (symbol, session_date) that has minute bars: a fingerprint of all that landed for it,
   which changes when any of it does; null where the calendar has no such session. #}
with bars as (select * from {{ ref('stg_bars_1m') }}),

sessions as (select * from {{ ref('int_sessions') }}),

landed as (
    select
        symbol,
        session_date,
        count(*) as row_count,
        max(landed_at) as landed_at,
        bit_xor(hash(bar_at, open, high, low, close, volume, provider, landed_at)) as bars_hash
    from bars
    group by symbol, session_date
)

select
    landed.symbol,
    landed.session_date,
    landed.row_count,
    landed.landed_at,
    case
        when sessions.session_date is not null
            then
                hash(
                    landed.row_count,
                    landed.bars_hash,
                    sessions.pre_open_at,
                    sessions.open_at,
                    sessions.close_at,
                    sessions.post_close_at
                )
    end as bars_fingerprint
from landed
left join sessions on landed.session_date = sessions.session_date
