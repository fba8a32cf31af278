-- The newest bar of each watched symbol with its state, how many of an entry's rules it meets, the
-- first of them that it fails, and the session's last closes, oldest first.
with watched as (
    select symbol from published.marts.watchlist where session_date = $session_date
),

newest_states as (
    select * from marts.states_1m
    where session_date = $session_date
    qualify row_number() over (partition by symbol order by bar_at desc) = 1
),

newest_checks as (
    select * from marts.rule_checks_1m
    where session_date = $session_date and is_required
    qualify rank() over (partition by symbol order by bar_at desc) = 1
),

counts as (
    select symbol, count(*) as rules, count(*) filter (passes) as rules_passed
    from newest_checks
    group by symbol
),

failing as (
    select symbol, rule as failing_rule, fails_by_fraction from newest_checks
    where not passes
    qualify row_number() over (partition by symbol order by ordinal) = 1
),

last_bars as (
    select symbol, bar_at, close from raw.bars_1m
    where session_date = $session_date
    qualify row_number() over (partition by symbol order by bar_at desc) <= $closes
),

closes as (
    select symbol, list(close order by bar_at) as closes from last_bars group by symbol
)

select newest_states.*, rules, rules_passed, failing_rule, fails_by_fraction, closes
from watched
inner join newest_states using (symbol)
left join counts using (symbol)
left join failing using (symbol)
left join closes using (symbol)
order by symbol
