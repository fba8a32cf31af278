-- A day of the live service into the warehouse; what stands already is left as it is, so that doing it
-- again changes nothing. day_<table> are the live rows, with provider and landed_at kept.
-- Of two versions of a bar the one landed last is current, the other one a revision.
create or replace temp table day_conflicts as
select
    stored as stored_row,
    live as live_row
from raw.bars_1m as stored
inner join day_bars_1m as live
    on
        stored.symbol = live.symbol
        and stored.bar_at = live.bar_at
        and stored.provider = live.provider;

insert into raw.bars_1m by name
select live.*
from day_bars_1m as live
anti join raw.bars_1m as stored
    on
        stored.symbol = live.symbol
        and stored.bar_at = live.bar_at
        and stored.provider = live.provider;

-- One and the same version was known from its first landing on.
update raw.bars_1m as stored
set landed_at = live.landed_at
from day_bars_1m as live
where
    stored.symbol = live.symbol
    and stored.bar_at = live.bar_at
    and stored.provider = live.provider
    and stored.open is not distinct from live.open
    and stored.high is not distinct from live.high
    and stored.low is not distinct from live.low
    and stored.close is not distinct from live.close
    and stored.volume is not distinct from live.volume
    and stored.landed_at > live.landed_at;

delete from day_conflicts
where
    stored_row.open is not distinct from live_row.open
    and stored_row.high is not distinct from live_row.high
    and stored_row.low is not distinct from live_row.low
    and stored_row.close is not distinct from live_row.close
    and stored_row.volume is not distinct from live_row.volume;

create or replace temp table superseded as
select * from day_bar_revisions
union all by name
select
    unnest(if(live_row.landed_at > stored_row.landed_at, stored_row, live_row)),
    greatest(live_row.landed_at, stored_row.landed_at) as superseded_at
from day_conflicts;

insert into raw.bar_revisions by name
select superseded.*
from superseded
anti join raw.bar_revisions as stored
    on
        stored.symbol = superseded.symbol
        and stored.bar_at = superseded.bar_at
        and stored.provider = superseded.provider
        and stored.landed_at = superseded.landed_at;

delete from raw.bars_1m as stored
using day_conflicts
where
    stored.symbol = live_row.symbol
    and stored.bar_at = live_row.bar_at
    and stored.provider = live_row.provider
    and live_row.landed_at > stored.landed_at;

insert into raw.bars_1m by name
select unnest(live_row)
from day_conflicts
where live_row.landed_at > stored_row.landed_at;

insert into raw.quotes by name
select live.*
from day_quotes as live
anti join raw.quotes as stored
    on
        stored.symbol = live.symbol
        and stored.quoted_at = live.quoted_at
        and stored.provider = live.provider;

insert into raw.signals by name
select live.*
from day_signals as live
anti join raw.signals as stored on stored.seq = live.seq;

insert into raw.provisional_events by name
select live.*
from day_provisional_events as live
anti join raw.provisional_events as stored
    on
        stored.symbol = live.symbol
        and stored.bar_at = live.bar_at
        and stored.event = live.event;

insert into raw.fetch_log by name
select live.*
from day_fetch_log as live
anti join raw.fetch_log as stored on stored.request_id = live.request_id;

insert into raw.rejected_rows by name
select live.*
from day_rejected_rows as live
anti join raw.rejected_rows as stored
    on
        stored.table_name = live.table_name
        and stored.row_text is not distinct from live.row_text
        and stored.provider = live.provider;

insert into raw.served_features by name
select live.*
from day_served_features as live
anti join raw.served_features as stored
    on
        stored.symbol = live.symbol
        and stored.bar_at = live.bar_at
        and stored.landed_at = live.landed_at;

insert into raw.served_inputs by name
select live.*
from day_served_inputs as live
anti join raw.served_inputs as stored
    on
        stored.symbol = live.symbol
        and stored.session_date = live.session_date
        and stored.landed_at = live.landed_at;
