{# One row per XNYS session, numbered in order. #}
with calendar as (select * from {{ ref('stg_market_calendar') }}),

numbered as (
    select
        session_date,
        pre_open_at,
        open_at,
        close_at,
        post_close_at,
        is_half_day,
        row_number() over (order by session_date) as session_number
    from calendar
)

select * from numbered
