{# One row per (symbol, session_date it is for, baseline_date): the sessions that say what volume is
   usual: the latest rvol_sessions before it that are no half day and in which the symbol had an RTH
   bar; none where there are fewer than rvol_min_sessions. #}
with sessions as (select * from {{ ref('int_sessions_built') }}),

coming as (select * from {{ ref('coming_session') }}),

bars as (select * from {{ ref('int_bars_1m') }}),

split_factors as (select * from {{ ref('int_split_factors') }}),

symbol_sessions as (
    select
        symbol,
        session_date,
        bool_or(session_segment = 'RTH') as has_rth_bar
    from bars
    group by symbol, session_date
),

eligible as (
    select
        symbol_sessions.symbol,
        symbol_sessions.session_date as baseline_date,
        row_number() over (
            partition by symbol_sessions.symbol order by symbol_sessions.session_date
        ) as baseline_number
    from symbol_sessions
    inner join sessions using (session_date)
    where symbol_sessions.has_rth_bar and not sessions.is_half_day
),

wanted as (
    select
        symbol,
        session_date
    from symbol_sessions
    union
    select
        eligible.symbol,
        coming.session_date
    from eligible
    cross join coming
),

latest as (
    select
        wanted.symbol,
        wanted.session_date,
        eligible.baseline_number as latest_number
    from wanted
    asof inner join eligible
        on
            wanted.symbol = eligible.symbol
            and wanted.session_date > eligible.baseline_date
),

pairs as (
    select
        latest.symbol,
        latest.session_date,
        eligible.baseline_date,
        count(*) over (partition by latest.symbol, latest.session_date) as baseline_count
    from latest
    inner join eligible
        on
            latest.symbol = eligible.symbol
            and eligible.baseline_number
            between latest.latest_number - {{ var('rvol_sessions') - 1 }} and latest.latest_number
),

for_factors as (
    select
        pairs.*,
        coalesce(split_factors.split_factor, 1) as factor_for
    from pairs
    asof left join split_factors
        on
            pairs.symbol = split_factors.symbol
            and pairs.session_date >= split_factors.split_date
    where pairs.baseline_count >= {{ var('rvol_min_sessions') }}
)

select
    for_factors.symbol,
    for_factors.session_date,
    for_factors.baseline_date,
    for_factors.baseline_count,
    for_factors.factor_for / coalesce(split_factors.split_factor, 1) as volume_factor
from for_factors
asof left join split_factors
    on
        for_factors.symbol = split_factors.symbol
        and for_factors.baseline_date >= split_factors.split_date
