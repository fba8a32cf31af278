{# One row per (session_date, step): symbols into and out of each step of the scanner, and the
   provider calls that its data cost, from the end of the session before to this one's open. Into
   the first step go all symbols that a profile or a master file names. #}
with inputs as (select * from {{ ref('int_scanner_inputs') }}),

watchlist as (select * from {{ ref('watchlist') }}),

calendar as (select * from {{ ref('int_sessions') }}),

sessions as (select session_date from {{ ref('int_sessions_built') }}),

requests as (select * from {{ ref('stg_fetch_log') }}),

steps as (select * from {{ ref('scanner_steps') }}),

universe as (
    select symbol from {{ ref('stg_universe') }}
    union
    select symbol from {{ ref('stg_profiles') }}
),

outcomes as (
    select
        inputs.session_date,
        coalesce(
            inputs.failed_step, case when watchlist.symbol is null then 5 else 6 end
        ) as failed_step,
        count(*) as symbol_count
    from inputs
    left join watchlist
        on inputs.symbol = watchlist.symbol and inputs.session_date = watchlist.session_date
    group by all
),

calls as (
    select
        calendar.session_date,
        steps.step,
        sum(coalesce(requests.attempts, 1))::bigint as calls_spent
    from requests
    asof inner join calendar on requests.requested_at < calendar.post_close_at
    inner join steps on list_contains(string_split(steps.endpoints, ' '), requests.endpoint)
    where requests.requested_at < calendar.open_at
    group by calendar.session_date, steps.step
),

counts as (
    select
        sessions.session_date,
        steps.step,
        steps.step_name,
        case
            when steps.step = 1 then (select count(*) from universe)
            else
                coalesce(sum(outcomes.symbol_count) filter (
                    where outcomes.failed_step >= steps.step
                ), 0)
        end::bigint as symbols_in,
        coalesce(sum(outcomes.symbol_count) filter (
            where outcomes.failed_step > steps.step
        ), 0)::bigint as symbols_out
    from sessions
    cross join steps
    left join outcomes on sessions.session_date = outcomes.session_date
    group by sessions.session_date, steps.step, steps.step_name
)

select
    counts.*,
    coalesce(calls.calls_spent, 0) as calls_spent
from counts
left join calls on counts.session_date = calls.session_date and counts.step = calls.step
