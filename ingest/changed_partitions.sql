-- The partitions of the tables with a ledger (macros/materializations/per_session.sql) that the
-- snapshot was made without: built anew since it was published, or in only one of the two. $tables
-- are those whose ledger says what they hold. Minute bars as landed have int_landed_bars for a
-- ledger; what it has no fingerprint of (no session of the calendar) counts as changed.
create or replace temp table changed_partitions as
with wanted as (
    select model as table_name, symbol, session_date, fingerprint, invocation_id
    from warehouse.intermediate.built_partitions
),

held as (
    select model as table_name, symbol, session_date, fingerprint, invocation_id
    from snapshot.intermediate.built_partitions
),

wanted_bars as (
    select symbol, session_date, bars_fingerprint
    from warehouse.intermediate.int_landed_bars
),

held_bars as (
    select symbol, session_date, bars_fingerprint
    from snapshot.intermediate.int_landed_bars
),

changed as (
    (from wanted except from held)
    union all
    (from held except from wanted)
),

changed_bars as (
    (from wanted_bars except from held_bars)
    union all
    (from held_bars except from wanted_bars)
    union all
    (from wanted_bars where bars_fingerprint is null)
    union all
    (from held_bars where bars_fingerprint is null)
),

of_all as (
    select table_name, symbol, session_date from changed
    union
    select 'bars_1m' as table_name, symbol, session_date from changed_bars
)

from of_all where list_contains($tables, table_name)
