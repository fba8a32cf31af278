{# One row per symbol whose daily bars are still to be bought for the coming session: the range of
   ended sessions that no successful request covers. #}
with symbols as (select * from {{ ref('int_scanner_symbols') }}),

coming as (select * from {{ ref('coming_session') }}),

sessions as (select * from {{ ref('int_sessions') }}),

requests as (
    select
        symbol,
        max(to_date) as covered_to
    from {{ ref('stg_fetch_log') }}
    where endpoint = 'bars_1d' and outcome in ('ok', 'empty')
    group by symbol
),

wanted as (
    select
        min(session_date) as from_date,
        max(session_date) as to_date
    from (
        select sessions.session_date
        from sessions
        inner join coming on sessions.session_date < coming.session_date
        order by sessions.session_date desc
        limit {{ var('daily_history_sessions') }}
    )
)

select
    symbols.symbol,
    greatest(wanted.from_date, coalesce(requests.covered_to + 1, wanted.from_date)) as from_date,
    wanted.to_date
from symbols
cross join wanted
left join requests using (symbol)
where coalesce(requests.covered_to < wanted.to_date, true)
