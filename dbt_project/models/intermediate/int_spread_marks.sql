{# One row per (symbol, session_date, session_segment, mark_at): the EDGE spread as of that
   5-minute mark, over the segment's bars of the hour before it that have a bar before them. The
   products are summed once per 5 minutes; each such sum counts for the twelve marks after it (as a
   join and a group by, five times as fast as a window over the sums). #}
with bars as (select * from {{ ref('int_bars_in_scope') }}),

terms as (
    select
        symbol,
        session_date,
        session_segment,
        {{ spread_mark('bar_at') }} as bucket_at,
        {{ edge_terms() }}
    from bars
    where previous_close is not null and {{ within_reach('bar_at', 60) }}
),

bucket_sums as (
    select
        symbol,
        session_date,
        session_segment,
        bucket_at,
        count(*) as bar_count,
        {{ edge_sums() }}
    from terms
    group by all
),

hour_sums as (
    select
        bucket_sums.symbol,
        bucket_sums.session_date,
        bucket_sums.session_segment,
        bucket_sums.bucket_at + to_minutes(mark_offsets.minutes) as mark_at,
        {% for name in edge_products() %}
            sum(bucket_sums.sum_{{ name }}) as sum_{{ name }},
        {% endfor %}
        sum(bucket_sums.bar_count) as bar_count
    from bucket_sums
    cross join range(5, 61, 5) as mark_offsets (minutes)
    group by all
),

spreads as (
    {{ edge_spread(
        'hour_sums', ['symbol', 'session_date', 'session_segment', 'mark_at'], 30
    ) }}
)

select
    symbol,
    session_date,
    session_segment,
    mark_at,
    spread as spread_est
from spreads
where spread is not null
