-- What is known before the bars of a coming minute, worked out before they come: bars without
-- prices stand in for them while the views are asked, in one transaction.

-- name: put_stand_ins
insert into raw.bars_1m by name
select
    unnest($symbols) as symbol,
    $session_date as session_date,
    $minute as bar_at,
    $provider as provider,
    $minute as landed_at;

-- name: drop_outdated
delete from intermediate.int_bars_prepared
where not list_contains($minutes, bar_at);

-- name: keep_known
insert into intermediate.int_bars_prepared by name
from intermediate.int_known_before
where bar_at = $minute;

-- name: drop_stand_ins
delete from raw.bars_1m
where bar_at = $minute and close is null;

-- name: plan
prepare states_prepared as
select * from intermediate.int_states_prepared
where bar_at >= $since;
