{# One row per (symbol, session_date) whose minute bars are still to be bought: the coming session's
   watchlist over lookback_days ended sessions, less what was bought after that session's end. That
   the first provider has no bars is an answer; that another has none leaves them to be bought. #}
with watchlist as (select * from {{ ref('watchlist') }}),

coming as (select * from {{ ref('coming_session') }}),

sessions as (select * from {{ ref('int_sessions') }}),

bought as (
    select
        fetch_log.symbol,
        fetch_log.from_date as session_date
    from {{ ref('stg_fetch_log') }} as fetch_log
    inner join sessions on fetch_log.from_date = sessions.session_date
    where
        fetch_log.endpoint = 'bars_1m'
        and fetch_log.requested_at >= sessions.post_close_at
        and (
            fetch_log.outcome = 'ok'
            or (
                fetch_log.outcome = 'empty'
                and fetch_log.provider = '{{ var("provider_priority")[0] }}'
            )
        )
),

wanted_sessions as (
    select sessions.session_date
    from sessions
    inner join coming on sessions.session_date < coming.session_date
    order by sessions.session_date desc
    limit {{ var('lookback_days') }}
),

wanted as (
    select
        watchlist.symbol,
        wanted_sessions.session_date
    from watchlist
    inner join coming using (session_date)
    cross join wanted_sessions
)

select wanted.*
from wanted
anti join bought using (symbol, session_date)
