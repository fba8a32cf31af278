{# One row per (symbol, session_date): every session with minute bars of the symbol, and the coming
   one, with its split factor and its place among the symbol's baseline sessions: those that say what
   volume is usual, no half day, with an RTH bar. baseline_number counts the ones before it. #}
with sessions as (select * from {{ ref('int_sessions_built') }}),

coming as (select * from {{ ref('coming_session') }}),

landed as (select * from {{ ref('int_landed_bars') }}),

session_bars as (select * from {{ ref('int_session_bars') }}),

split_factors as (select * from {{ ref('int_split_factors') }}),

symbol_sessions as (
    select
        symbol,
        session_date
    from landed
    union
    select
        landed.symbol,
        coming.session_date
    from landed
    cross join coming
    where landed.session_date <= coming.session_date
),

described as (
    select
        symbol_sessions.symbol,
        symbol_sessions.session_date,
        coalesce(session_bars.rth_bar_count > 0 and not sessions.is_half_day, false) as is_baseline
    from symbol_sessions
    inner join sessions on symbol_sessions.session_date = sessions.session_date
    left join session_bars
        on
            symbol_sessions.symbol = session_bars.symbol
            and symbol_sessions.session_date = session_bars.session_date
),

numbered as (
    select
        described.*,
        coalesce(split_factors.split_factor, 1) as split_factor,
        count(*) filter (where is_baseline) over (
            partition by described.symbol order by described.session_date
            rows between unbounded preceding and 1 preceding
        ) as baseline_number
    from described
    asof left join split_factors
        on
            described.symbol = split_factors.symbol
            and described.session_date >= split_factors.split_date
)

select
    *,
    least(baseline_number, {{ var('rvol_sessions') }}) as baseline_count
from numbered
