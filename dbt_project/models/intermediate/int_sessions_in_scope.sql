{# The rows of int_sessions_built that are being built now; outside a build all of them. See
   macros/materializations/per_session.sql. #}
with sessions as (select * from {{ ref('int_sessions_built') }}),

building as (select distinct session_date from intermediate.build_scope)

select sessions.*
from sessions
where
    sessions.session_date in (select building.session_date from building)
    or not exists (select 1 from building)
