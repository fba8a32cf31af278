{# One row per (symbol, session_date): the provider's daily bar or, where it is missing, one made of
   the session's RTH minute bars. As traded; split_factor brings rows to one basis. #}
with sessions as (select * from {{ ref('int_sessions_in_scope') }}),

daily as (select * from {{ ref('stg_bars_1d') }}),

session_bars as (select * from {{ ref('int_session_bars') }}),

split_factors as (select * from {{ ref('int_split_factors') }}),

provided as (
    select daily.*
    from daily
    semi join sessions using (session_date)
    qualify
        row_number() over (
            partition by daily.symbol, daily.session_date order by {{ provider_rank() }}
        ) = 1
),

combined as (
    select
        symbol,
        session_date,
        open,
        high,
        low,
        close,
        volume,
        false as is_from_minutes
    from provided
    union all by name
    select
        session_bars.symbol,
        session_bars.session_date,
        session_bars.rth_open as open,
        session_bars.rth_high as high,
        session_bars.rth_low as low,
        session_bars.rth_close as close,
        session_bars.rth_volume as volume,
        true as is_from_minutes
    from session_bars
    semi join sessions using (session_date)
    anti join provided using (symbol, session_date)
    where session_bars.rth_bar_count > 0
),

with_factors as (
    select
        combined.*,
        coalesce(split_factors.split_factor, 1) as split_factor
    from combined
    asof left join split_factors
        on
            combined.symbol = split_factors.symbol
            and combined.session_date >= split_factors.split_date
)

select * from with_factors
