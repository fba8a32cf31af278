{# One row: the session that is next to end, as known from the newest landing. #}
with sessions as (select * from {{ ref('int_sessions') }}),

as_of as (select * from {{ ref('int_as_of') }}),

coming as (
    select sessions.*
    from sessions
    inner join as_of on sessions.post_close_at > as_of.as_of_at
    order by sessions.session_date
    limit 1
)

select
    session_date,
    pre_open_at,
    open_at,
    close_at,
    post_close_at,
    is_half_day
from coming
