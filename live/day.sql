-- What a recorded day brought, from the snapshot attached as `recorded`.

-- name: session
select session_date, pre_open_at, open_at, close_at, post_close_at
from recorded.marts.market_sessions
where session_date = $session_date;

-- name: watched
select watchlist.symbol
from recorded.marts.watchlist as watchlist
semi join recorded.intermediate.int_bars_1m_lagged as bars using (symbol, session_date)
where watchlist.session_date = $session_date
order by watchlist.symbol;

-- name: traded
-- Who has bars, whether or not it was on a watchlist.
select distinct symbol
from recorded.intermediate.int_bars_1m_lagged
where session_date = $session_date
order by symbol;

-- name: replayable
select distinct session_date
from recorded.intermediate.int_bars_1m_lagged
order by session_date;

-- name: closed
-- Each bar as it stands now, at its minute's end, or at the end of that many minutes.
select
    symbol, session_date, bar_at, open, high, low, close, volume,
    time_bucket(to_minutes($every_minutes), bar_at) + to_minutes($every_minutes) as came_at,
    'replay' as provider
from recorded.intermediate.int_bars_1m_lagged
where session_date = $session_date and symbol in (select unnest($symbols))
order by came_at, symbol;

-- name: landed
-- Each version of each bar when it landed, those included that were superseded later.
select
    symbol, session_date, bar_at, open, high, low, close, volume,
    landed_at as came_at,
    provider
from (
    select columns(* exclude (superseded_at)) from recorded.raw.bar_revisions
    union all by name
    from recorded.raw.bars_1m
)
where session_date = $session_date and symbol in (select unnest($symbols))
order by came_at, provider, symbol, bar_at;

-- name: quotes
select * exclude (provider, landed_at) from recorded.raw.quotes
where
    quoted_at between $pre_open_at and $post_close_at
    and symbol in (select unnest($symbols))
order by quoted_at;
