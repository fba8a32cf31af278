{# One row per XNYS session. #}
select
    session_date,
    pre_open_at,
    open_at,
    close_at,
    post_close_at,
    is_half_day
from {{ ref('int_sessions') }}
