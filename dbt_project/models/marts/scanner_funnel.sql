{# One row per (session_date, step): symbols into and out of each step of the scanner. #}
with inputs as (select * from {{ ref('int_scanner_inputs') }}),

watchlist as (select * from {{ ref('watchlist') }}),

joined as (
    select
        inputs.session_date,
        coalesce(
            inputs.failed_step, case when watchlist.symbol is null then 5 else 6 end
        ) as failed_step
    from inputs
    left join watchlist using (session_date, symbol)
),

steps as (
    select
        unnest([1, 2, 3, 4, 5]) as step,
        unnest([
            'common stock, trading', 'price and market cap', 'volatility', 'history and liquidity',
            'score and rank'
        ]) as step_name
),

counts as (
    select
        joined.session_date,
        steps.step,
        steps.step_name,
        count(*) filter (where joined.failed_step >= steps.step) as symbols_in,
        count(*) filter (where joined.failed_step > steps.step) as symbols_out
    from joined
    cross join steps
    group by all
)

select * from counts
