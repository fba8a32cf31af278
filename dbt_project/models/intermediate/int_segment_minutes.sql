{# One row per (session_date, session_segment, minute_of_session) of the sessions that are built. #}
with sessions as (select * from {{ ref('int_sessions_built') }}),

minutes as (
    select
        session_date,
        open_at,
        unnest(
            range(
                date_diff('minute', open_at, pre_open_at),
                date_diff('minute', open_at, post_close_at)
            )
        )::integer as minute_of_session,
        date_diff('minute', open_at, close_at) as close_minute
    from sessions
),

segmented as (
    select
        session_date,
        case
            when minute_of_session < 0 then 'PRE'
            when minute_of_session < close_minute then 'RTH'
            else 'POST'
        end as session_segment,
        minute_of_session,
        open_at + to_minutes(minute_of_session) as bar_at
    from minutes
)

select * from segmented
