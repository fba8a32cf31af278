{# One row per symbol whose daily bars are still to be bought for the coming session: the range of
   ended sessions that no answer of the first provider covers, and of which there is no bar. #}
with symbols as (select * from {{ ref('int_scanner_symbols') }}),

coming as (select * from {{ ref('coming_session') }}),

sessions as (select * from {{ ref('int_sessions') }}),

bars as (select * from {{ ref('stg_bars_1d') }}),

answers as (
    select
        symbol,
        from_date,
        to_date
    from {{ ref('stg_fetch_log') }}
    where
        endpoint = 'bars_1d'
        and outcome in ('ok', 'empty')
        and provider = '{{ var("provider_priority")[0] }}'
),

wanted_sessions as (
    select sessions.session_date
    from sessions
    inner join coming on sessions.session_date < coming.session_date
    order by sessions.session_date desc
    limit {{ var('daily_history_sessions') }}
),

missing as (
    select
        symbols.symbol,
        wanted_sessions.session_date
    from symbols
    cross join wanted_sessions
    anti join bars using (symbol, session_date)
)

select
    missing.symbol,
    min(missing.session_date) as from_date,
    max(missing.session_date) as to_date
from missing
anti join answers
    on
        missing.symbol = answers.symbol
        and missing.session_date between answers.from_date and answers.to_date
group by missing.symbol
