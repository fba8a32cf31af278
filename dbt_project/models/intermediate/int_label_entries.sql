{# One row per bar of an ended session: the bar after it at whose open one could have bought, and
   the extremes of each horizon from there. This and labels_1m are the only models that look
   forward. #}
with bars as (
    select *
    from {{ ref('features_1m') }}
    {{ in_scope() }}
),

sessions as (select * from {{ ref('int_sessions') }}),

as_of as (select * from {{ ref('int_newest_minute_landing') }}),

ended_bars as (
    select
        bars.symbol,
        bars.session_date,
        bars.session_segment,
        bars.bar_at,
        bars.available_at,
        bars.minutes_since_open,
        bars.open,
        bars.high,
        bars.low,
        bars.spread_est,
        case bars.session_segment
            when 'PRE' then sessions.open_at
            when 'RTH' then sessions.close_at
            else sessions.post_close_at
        end as segment_end_at
    from bars
    inner join sessions using (session_date)
    inner join as_of on sessions.post_close_at <= as_of.landed_at
),

{# Each bar as the entry of the bar before it, so that horizons and bar before share one sort. #}
entry_bars as (
    select
        symbol,
        session_date,
        session_segment,
        segment_end_at,
        lag(bar_at) over by_minute as bar_at,
        lag(available_at) over by_minute as available_at,
        lag(spread_est) over by_minute as spread_est,
        bar_at as next_bar_at,
        {% for minutes in var('label_windows') %}
            max(high) over (
                by_minute range between current row and {{ minutes - 1 }} following
            ) as horizon_high_{{ minutes }}m,
            min(low) over (
                by_minute range between current row and {{ minutes - 1 }} following
            ) as horizon_low_{{ minutes }}m,
        {% endfor %}
        open as next_open
    from ended_bars
    window
        by_minute as (
            partition by symbol, session_date, session_segment order by minutes_since_open
        )
),

last_bars as (
    select
        symbol,
        session_date,
        session_segment,
        segment_end_at,
        max(bar_at) as bar_at
    from ended_bars
    group by symbol, session_date, session_segment, segment_end_at
),

next_bars as (
    select * from entry_bars
    where bar_at is not null
    union all by name
    select * from last_bars
),

entries as (
    select
        * exclude (next_bar_at, next_open, spread_est),
        next_bar_at - available_at <= to_minutes({{ var('entry_max_wait_min') }}) as has_entry,
        case when has_entry then next_bar_at end as entry_at,
        case when has_entry then next_open end as entry_price,
        {% for minutes in var('label_windows') %}
            coalesce(entry_at + to_minutes({{ minutes }}) <= segment_end_at, false)
                as is_complete_{{ minutes }}m,
        {% endfor %}
        (1 + spread_est / 2) / (1 - spread_est / 2) as cost_factor
    from next_bars
)

select * from entries
