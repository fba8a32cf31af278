{# One row per bar of an ended session: the bar after it at whose open one could have bought, and
   the extremes of each horizon from there. This and labels_1m are the only models that look
   forward. #}
with bars as (select * from {{ ref('int_bars_in_scope') }}),

sessions as (select * from {{ ref('int_sessions') }}),

as_of as (select * from {{ ref('int_newest_minute_landing') }}),

spreads as (
    select
        symbol,
        bar_at,
        spread_est
    from {{ ref('features_1m') }}
),

ended_bars as (
    select
        bars.*,
        case bars.session_segment
            when 'PRE' then sessions.open_at
            when 'RTH' then sessions.close_at
            else sessions.post_close_at
        end as segment_end_at
    from bars
    inner join sessions using (session_date)
    inner join as_of on sessions.post_close_at <= as_of.landed_at
),

horizons as (
    select
        {% for minutes in var('label_windows') %}
            max(high) over (
                by_minute range between current row and {{ minutes - 1 }} following
            ) as high_{{ minutes }}m,
            min(low) over (
                by_minute range between current row and {{ minutes - 1 }} following
            ) as low_{{ minutes }}m,
        {% endfor %}
        *
    from ended_bars
    window
        by_minute as (
            partition by symbol, session_date, session_segment order by minute_of_session
        )
),

next_bars as (
    select
        symbol,
        session_date,
        session_segment,
        bar_at,
        available_at,
        minute_of_session,
        segment_end_at,
        lead(bar_at) over by_minute as next_bar_at,
        {% for minutes in var('label_windows') %}
            lead(high_{{ minutes }}m) over by_minute as horizon_high_{{ minutes }}m,
            lead(low_{{ minutes }}m) over by_minute as horizon_low_{{ minutes }}m,
        {% endfor %}
        lead(open) over by_minute as next_open
    from horizons
    window
        by_minute as (
            partition by symbol, session_date, session_segment order by minute_of_session
        )
),

entries as (
    select
        next_bars.* exclude (next_bar_at, next_open, minute_of_session),
        next_bar_at - available_at <= to_minutes({{ var('entry_max_wait_min') }}) as has_entry,
        case when has_entry then next_bar_at end as entry_at,
        case when has_entry then next_open end as entry_price,
        {% for minutes in var('label_windows') %}
            coalesce(entry_at + to_minutes({{ minutes }}) <= segment_end_at, false)
                as is_complete_{{ minutes }}m,
        {% endfor %}
        (1 + spreads.spread_est / 2) / (1 - spreads.spread_est / 2) as cost_factor
    from next_bars
    left join spreads using (symbol, bar_at)
)

select * from entries
