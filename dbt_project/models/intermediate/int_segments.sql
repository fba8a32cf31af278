{# One row per (session_date, session_segment) of the sessions that are built. #}
with sessions as (select * from {{ ref('int_sessions_built') }}),

bounded as (
    {% for segment, starts_at, ends_at in [
        ('PRE', 'pre_open_at', 'open_at'),
        ('RTH', 'open_at', 'close_at'),
        ('POST', 'close_at', 'post_close_at'),
    ] %}
        select
            session_date,
            '{{ segment }}' as session_segment,
            {{ starts_at }} as starts_at,
            date_diff('minute', open_at, {{ starts_at }})::integer as first_minute,
            date_diff('minute', {{ starts_at }}, {{ ends_at }})::integer as minute_count
        from sessions
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select * from bounded
