{# One row per (symbol, bar_at): the bar that counts where providers overlap, in its segment of its
   session. A bar outside every segment has no row here (marts.data_quality counts it). #}
with bars as (
    select *
    from {{ ref('stg_bars_1m') }}
    {{ in_scope() }}
    where {{ within_reach('bar_at', var('max_bar_age_min')) }}
),

calendar as (select * from {{ ref('int_sessions') }}),

several_providers as (
    select
        symbol,
        session_date
    from bars
    group by symbol, session_date
    having min(provider) < max(provider)
),

overlapping as (
    select
        symbol,
        bar_at,
        provider,
        landed_at,
        {{ provider_rank() }} as provider_rank
    from bars
    semi join several_providers using (symbol, session_date)
),

{# A sort of all bars would say the same: this looks only where providers overlap. #}
outranked as (
    select
        worse.symbol,
        worse.bar_at,
        worse.provider,
        worse.landed_at
    from overlapping as worse
    inner join overlapping as better
        on
            worse.symbol = better.symbol
            and worse.bar_at = better.bar_at
            and worse.provider_rank > better.provider_rank
),

resolved as (
    select bars.*
    from bars
    anti join outranked using (symbol, bar_at, provider, landed_at)
),

segmented as (
    select
        resolved.symbol,
        resolved.session_date,
        case
            when resolved.bar_at < calendar.open_at then 'PRE'
            when resolved.bar_at < calendar.close_at then 'RTH'
            else 'POST'
        end as session_segment,
        resolved.bar_at,
        resolved.bar_at + interval 1 minute as available_at,
        date_diff('minute', calendar.open_at, resolved.bar_at)::integer as minute_of_session,
        resolved.open,
        resolved.high,
        resolved.low,
        resolved.close,
        resolved.volume,
        resolved.landed_at
    from resolved
    inner join calendar
        on
            resolved.session_date = calendar.session_date
            and resolved.bar_at >= calendar.pre_open_at
            and resolved.bar_at < calendar.post_close_at
)

select * from segmented
