{# One row per (symbol, session_date) that is being built now; outside a build every one with minute
   bars and the coming session, so that the views over it show all there is. See
   macros/materializations/per_session.sql. #}
with landed as (select * from {{ ref('int_landed_bars') }}),

coming as (select * from {{ ref('coming_session') }}),

building as (select * from intermediate.build_scope),

everything as (
    select
        symbol,
        session_date
    from landed
    union all
    select distinct
        landed.symbol,
        coming.session_date
    from landed
    cross join coming
)

select
    symbol,
    session_date
from building
where symbol is not null
union all
select
    symbol,
    session_date
from everything
where not exists (select 1 from building)
