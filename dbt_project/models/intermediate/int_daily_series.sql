{# One row per (symbol, session_date): the provider's daily bar or, where it is missing, one made of
   the session's RTH minute bars. As traded; split_factor brings rows to one basis. #}
with daily as (select * from {{ ref('stg_bars_1d') }}),

minutes as (select * from {{ ref('int_bars_1m') }}),

sessions as (select * from {{ ref('int_sessions') }}),

split_factors as (select * from {{ ref('int_split_factors') }}),

provided as (
    select daily.*
    from daily
    inner join sessions using (session_date)
    qualify
        row_number() over (
            partition by daily.symbol, daily.session_date order by {{ best_provider_first() }}
        ) = 1
),

aggregated as (
    select
        symbol,
        session_date,
        arg_min(open, minute_of_session) as open,
        max(high) as high,
        min(low) as low,
        arg_max(close, minute_of_session) as close,
        sum(volume) as volume
    from minutes
    where session_segment = 'RTH'
    group by symbol, session_date
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
        aggregated.*,
        true as is_from_minutes
    from aggregated
    anti join provided using (symbol, session_date)
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
