-- Provisional signals in live.duckdb.

-- name: pending
-- Those of a session that are not settled, and what has come of their bars.
with pending as (
    select raised.* from raw.provisional_events as raised
    anti join raw.provisional_events as settled
        on
            raised.symbol = settled.symbol
            and raised.bar_at = settled.bar_at
            and settled.event <> 'provisional'
    where raised.session_date = $session_date
),

closed as (
    select symbol, bar_at, arg_max(close, landed_at) as close from raw.bars_1m
    where session_date = $session_date and (symbol, bar_at) in (select (symbol, bar_at) from pending)
    group by symbol, bar_at
)

select
    pending.symbol, pending.session_date, pending.session_segment, pending.bar_at, pending.state,
    closed.close as closed_price, signals.seq
from pending
left join closed on pending.symbol = closed.symbol and pending.bar_at = closed.bar_at
left join raw.signals as signals
    on pending.symbol = signals.symbol and pending.bar_at = signals.bar_at
order by pending.bar_at, pending.symbol;

-- name: entries
-- Asked in the middle of a trial: which of the bars on trial, all of one minute, pass the rules.
select * from marts.states_1m
where session_date = $session_date and bar_at = $bar_at and is_entry
order by symbol;
