-- Keeps what is served with what was known. One read of the views gives both the rows kept here and
-- the entries that become signals.

-- name: evaluate
select * from marts.states_1m
where session_date = $session_date and bar_at >= $since;

-- name: keep_rows
-- A row that was served before is kept again only where something of it is different now; none was
-- where $are_new.
insert into raw.served_features by name
with served as (
    select
        symbol, session_date, bar_at, state, is_entry,
        list_value(*columns($features))::double[] as features,
        'live' as provider,
        $evaluated_at as landed_at
    from evaluated
),

newest as (
    select * from raw.served_features
    where not $are_new and session_date = $session_date and bar_at >= $since
    qualify row_number() over (partition by symbol, bar_at order by landed_at desc) = 1
)

from served
anti join newest
    on
        served.symbol = newest.symbol
        and served.bar_at = newest.bar_at
        and served.state = newest.state
        and served.is_entry = newest.is_entry
        and served.features = newest.features;

-- name: keep_inputs
insert into raw.served_inputs by name
with inputs as (
    select
        watched.symbol,
        $session_date as session_date,
        $definition_hash as definition_hash,
        $features as feature_names,
        nightly.daily_state_hash,
        nightly.usual_volume_hash,
        'live' as provider,
        $evaluated_at as landed_at
    from (select unnest($symbols) as symbol) as watched
    left join published.intermediate.int_nightly_inputs as nightly
        on watched.symbol = nightly.symbol and nightly.session_date = $session_date
),

newest as (
    select * from raw.served_inputs
    where session_date = $session_date
    qualify row_number() over (partition by symbol order by landed_at desc) = 1
)

from inputs
anti join newest
    on
        inputs.symbol = newest.symbol
        and inputs.definition_hash = newest.definition_hash
        and inputs.feature_names = newest.feature_names
        and inputs.daily_state_hash is not distinct from newest.daily_state_hash
        and inputs.usual_volume_hash is not distinct from newest.usual_volume_hash;
