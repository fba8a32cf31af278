{# One row per (session_date, step): symbols into and out of each step of the scanner, and the
   provider calls that its data cost, from the end of the session before to this one's open. #}
with inputs as (select * from {{ ref('int_scanner_inputs') }}),

watchlist as (select * from {{ ref('watchlist') }}),

sessions as (select * from {{ ref('int_sessions') }}),

requests as (select * from {{ ref('stg_fetch_log') }}),

steps as (select * from {{ ref('scanner_steps') }}),

symbols as (
    select
        inputs.session_date,
        coalesce(
            inputs.failed_step, case when watchlist.symbol is null then 5 else 6 end
        ) as failed_step
    from inputs
    left join watchlist
        on inputs.symbol = watchlist.symbol and inputs.session_date = watchlist.session_date
),

calls as (
    select
        sessions.session_date,
        steps.step,
        count(*) as calls_spent
    from requests
    asof inner join sessions on requests.requested_at < sessions.post_close_at
    inner join steps on list_contains(string_split(steps.endpoints, ' '), requests.endpoint)
    where requests.requested_at < sessions.open_at
    group by sessions.session_date, steps.step
),

counts as (
    select
        symbols.session_date,
        steps.step,
        steps.step_name,
        count(*) filter (where symbols.failed_step >= steps.step) as symbols_in,
        count(*) filter (where symbols.failed_step > steps.step) as symbols_out
    from symbols
    cross join steps
    group by symbols.session_date, steps.step, steps.step_name
)

select
    counts.*,
    coalesce(calls.calls_spent, 0) as calls_spent
from counts
left join calls on counts.session_date = calls.session_date and counts.step = calls.step
