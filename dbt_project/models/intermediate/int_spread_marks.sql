{# One row per (symbol, session_date, session_segment, mark_minute): the EDGE spread as of that
   5-minute mark, over the segment's bars of the hour before it that have a bar before them. #}
with bars as (select * from {{ ref('int_bars_in_scope') }}),

terms as (
    select
        symbol,
        session_date,
        session_segment,
        (5 * floor(minute_of_session / 5.0))::integer as mark_minute,
        {{ edge_terms() }}
    from bars
    where previous_close is not null
),

bucket_sums as (
    select
        symbol,
        session_date,
        session_segment,
        mark_minute,
        count(*) as bucket_bars,
        {{ edge_sums() }}
    from terms
    group by all
),

marks as (
    select distinct
        symbol,
        session_date,
        session_segment,
        {{ spread_mark('minute_of_session') }} as mark_minute
    from bars
),

hour_sums as (
    select
        symbol,
        session_date,
        session_segment,
        mark_minute,
        {% for name in edge_products() %}
            sum(sum_{{ name }}) over last_hour as sum_{{ name }},
        {% endfor %}
        sum(bucket_bars) over last_hour as bar_count
    from marks
    full outer join bucket_sums using (symbol, session_date, session_segment, mark_minute)
    window
        last_hour as (
            partition by symbol, session_date, session_segment
            order by mark_minute range between 60 preceding and 5 preceding
        )
),

spreads as (
    {{ edge_spread(
        'hour_sums', ['symbol', 'session_date', 'session_segment', 'mark_minute'], 30
    ) }}
)

select
    symbol,
    session_date,
    session_segment,
    mark_minute,
    spread as spread_est
from spreads
where spread is not null
