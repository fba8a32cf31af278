{# One row per (symbol, bar_at, evaluated_at, feature) where what live served and what batch says
   now differ, and why. docs/parity.md says what each cause proves. #}
with cells as (select * from {{ ref('int_differing_cells') }}),

changes as (select * from {{ ref('int_cell_changes') }}),

as_known as (select * from {{ ref('int_features_as_known') }}),

nightly as (select * from {{ ref('int_nightly_inputs') }}),

splits as (select * from {{ ref('stg_splits') }}),

landings as (
    select
        symbol,
        session_date,
        bar_at,
        min(landed_at) as first_landed_at
    from {{ ref('int_bar_versions') }}
    group by symbol, session_date, bar_at
),

last_evaluations as (
    select
        session_date,
        max(evaluated_at) as last_evaluated_at
    from {{ ref('int_served_rows') }}
    {{ in_scope('int_sessions_in_scope', 'session_date', after='int_parity_inputs') }}
    group by session_date
),

examined as (
    select
        cells.*,
        coalesce({{ same_value(
            'cells.served_value',
            value_of('as_known', 'cells.feature')
        ) }} and as_known.bar_at is not null, false) as is_as_known,
        changes.has_late_bar,
        landings.first_landed_at > last_evaluations.last_evaluated_at as is_late,
        contains(cells.lookback, 'daily')
        and not (cells.daily_state_hash is not distinct from nightly.daily_state_hash)
            as has_daily_change,
        contains(cells.lookback, 'baseline')
        and not (cells.usual_volume_hash is not distinct from nightly.usual_volume_hash)
            as has_baseline_change,
        exists(
            select 1
            from splits
            where
                cells.symbol = splits.symbol
                and cells.session_date >= splits.split_date
                and cells.evaluated_at < splits.landed_at
        ) as has_new_split
    from cells
    left join changes using (symbol, bar_at, evaluated_at, feature)
    left join as_known using (symbol, bar_at, evaluated_at)
    left join nightly
        on cells.symbol = nightly.symbol and cells.session_date = nightly.session_date
    left join landings
        on cells.symbol = landings.symbol and cells.bar_at = landings.bar_at
    left join last_evaluations on cells.session_date = last_evaluations.session_date
)

select
    symbol,
    session_date,
    bar_at,
    evaluated_at,
    feature,
    kind,
    served_value,
    batch_value,
    served_value - batch_value as difference,
    case
        when evaluated_at is null then if(is_late, 'late bar', 'unexplained')
        when is_as_known and has_late_bar then 'late bar'
        when is_as_known and has_late_bar is not null then 'revised bar'
        when is_redefined then 'definition'
        when (has_daily_change or has_baseline_change) and has_new_split then 'split'
        when has_daily_change then 'daily bar'
        when has_baseline_change then 'baseline'
        else 'unexplained'
    end as cause
from examined
