{# One row per provisional signal: when a bar passed the rules while it formed, and what became of
   it once the bar had closed. #}
with events as (select * from {{ ref('stg_provisional_events') }}),

raised as (
    select * from events
    where event = 'provisional'
),

settled as (
    select * from events
    where event <> 'provisional'
)

select
    raised.symbol,
    raised.session_date,
    raised.session_segment,
    raised.bar_at,
    raised.state,
    raised.happened_at as raised_at,
    raised.price as raised_price,
    settled.event as outcome,
    settled.happened_at as settled_at,
    settled.price as settled_price,
    settled.seq,
    epoch(settled.happened_at - raised.happened_at) as seconds_to_outcome,
    raised.provider
from raised
left join settled using (symbol, bar_at)
