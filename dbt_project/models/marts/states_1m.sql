{# One row per row of features_1m: the state of the symbol as of that bar, by marts.signal_rules.
   The spread is the quoted one where a quote is younger than 60 s, else the estimated one. #}
with features as (select * from {{ ref('features_1m') }}),

{# A quote counts for the bar that closes less than a minute after it. #}
quotes as (
    select
        symbol,
        time_bucket(interval 1 minute, quoted_at + interval '59.999999 seconds') as available_at,
        arg_max((ask - bid) / ((ask + bid) / 2), quoted_at) as quoted_spread
    from {{ ref('stg_quotes') }}
    where bid > 0 and ask >= bid and {{ within_reach('quoted_at', 0) }}
    group by all
),

rules as (select * from {{ ref('signal_rules') }}),

with_spread as (
    select
        features.*,
        coalesce(quotes.quoted_spread, features.spread_est) as spread,
        case when quotes.quoted_spread is null then 'estimated' else 'quoted' end as spread_source
    from features
    left join quotes
        on features.symbol = quotes.symbol and features.available_at = quotes.available_at
),

gates as (
    select
        with_spread.*,
        {{ passes_rule('pumped') }} as is_pumped,
        is_pumped and {{ passes_rule('base_range') }} as is_base,
        {{ entry_gate() }} as is_entry,
        {{ entry_gate('candidate_') }} as is_candidate,
        case
            when is_entry and is_pumped then 'RePump'
            when is_entry then 'FirstPump'
            when is_base then 'Base'
            when is_pumped then 'Pumped'
            else 'Idle'
        end as state
    from with_spread
    cross join rules
)

select * from gates
