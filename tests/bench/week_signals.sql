-- How many signals of the two runs are equal, and for those that are not, what was different: each
-- is looked at in the run that lacks it. Evaluations are raw.served_features; what was known then
-- are the versions of the bars that had landed. A signal is late after two minutes.
create temp macro is_same(one, other) as
one is not distinct from other or abs(one - other) <= 1e-9 * greatest(1, abs(other));

with signals as (
    select 'clean' as run, * from clean.raw.signals
    union all by name
    select 'faulty' as run, * from faulty.raw.signals
),

served as (
    select 'clean' as run, * from clean.raw.served_features
    union all by name
    select 'faulty' as run, * from faulty.raw.served_features
),

versions as (
    select 'clean' as run, * from clean.intermediate.int_bar_versions
    union all by name
    select 'faulty' as run, * from faulty.intermediate.int_bar_versions
),

quotes as (
    select 'clean' as run, * from clean.raw.quotes
    union all by name
    select 'faulty' as run, * from faulty.raw.quotes
),

rules as (select cooldown_min from clean.marts.signal_rules),

pairs as (
    select
        coalesce(clean.symbol, faulty.symbol) as symbol,
        coalesce(clean.session_date, faulty.session_date) as session_date,
        coalesce(clean.bar_at, faulty.bar_at) as bar_at,
        clean.seq is not null and faulty.seq is not null as is_in_both,
        coalesce(
            clean.state = faulty.state
            and clean.price = faulty.price
            and is_same(clean.vwap, faulty.vwap)
            and is_same(clean.rvol_1m, faulty.rvol_1m)
            and is_same(clean.base_range, faulty.base_range)
            and is_same(clean.move_prev, faulty.move_prev),
            false
        ) as has_same_values,
        coalesce(
            is_same(clean.spread, faulty.spread) and clean.spread_source = faulty.spread_source,
            false
        ) as has_same_spread
    from clean.raw.signals as clean
    full join faulty.raw.signals as faulty
        on clean.symbol = faulty.symbol and clean.bar_at = faulty.bar_at
),

differing as (
    select *
    from pairs
    where not (has_same_values and has_same_spread)
),

-- Where each run evaluated the bar of a differing signal: when it sent it, else the last time at
-- which it still could have; no such moment: null.
sides as (
    select
        differing.*,
        sides.run as side,
        coalesce(any_value(sent.landed_at), max(served.landed_at)
            filter (served.landed_at <= differing.bar_at + interval 3 minute)) as side_at,
        count(sent.seq) > 0 as has_sent,
        count(served.bar_at) > 0 as has_row,
        coalesce(bool_or(served.is_entry)
            filter (served.landed_at <= differing.bar_at + interval 3 minute), false)
            as was_entry
    from differing
    cross join (select unnest(['clean', 'faulty']) as run) as sides
    left join signals as sent
        on
            sent.run = sides.run
            and sent.symbol = differing.symbol
            and sent.bar_at = differing.bar_at
    left join served
        on
            served.run = sides.run
            and served.symbol = differing.symbol
            and served.bar_at = differing.bar_at
    group by all
),

bars_known as (
    select
        sides.symbol,
        sides.bar_at,
        sides.side,
        versions.bar_at as known_bar_at,
        arg_min(
            hash(versions.bar_at, versions.open, versions.high, versions.low, versions.close,
                versions.volume),
            versions.provider
        ) as values_hash
    from sides
    inner join versions
        on
            versions.run = sides.side
            and versions.symbol = sides.symbol
            and versions.session_date = sides.session_date
            and versions.bar_at <= sides.bar_at
            and versions.landed_at <= sides.side_at
            and versions.superseded_at > sides.side_at
    group by all
),

known as (
    select
        symbol,
        bar_at,
        side,
        list(values_hash order by known_bar_at) as bars
    from bars_known
    group by all
),

known_quotes as (
    select
        sides.symbol,
        sides.bar_at,
        sides.side,
        arg_max((quotes.bid, quotes.ask), quotes.quoted_at) as quote
    from sides
    inner join quotes
        on
            quotes.run = sides.side
            and quotes.symbol = sides.symbol
            and quotes.quoted_at > sides.bar_at
            and quotes.quoted_at <= sides.bar_at + interval 1 minute
            and quotes.landed_at <= sides.side_at
    group by all
),

-- Entries that a run sent, or saw too late to send: both silence the symbol.
kept as (
    select run, symbol, bar_at, landed_at
    from signals
    union
    select run, symbol, bar_at, min(landed_at)
    from served
    where is_entry
    group by run, symbol, bar_at
    having min(landed_at) > bar_at + interval 3 minute
),

silenced as (
    select sides.symbol, sides.bar_at, sides.side
    from sides
    cross join rules
    semi join kept
        on
            kept.run = sides.side
            and kept.symbol = sides.symbol
            and kept.bar_at <> sides.bar_at
            and kept.bar_at > sides.bar_at - to_minutes(rules.cooldown_min)
            and kept.landed_at <= sides.side_at
),

-- Of each signal the side that lacks it; of one that both sent, any.
judged as (
    select
        sides.is_in_both,
        sides.has_same_values,
        sides.has_row,
        sides.was_entry,
        sides.side_at,
        own.bars is distinct from other.bars as has_other_bars,
        own_quotes.quote is distinct from other_quotes.quote as has_other_quote,
        silenced.symbol is not null as is_silenced
    from sides
    left join known as own using (symbol, bar_at, side)
    left join known as other
        on
            other.symbol = sides.symbol
            and other.bar_at = sides.bar_at
            and other.side <> sides.side
    left join known_quotes as own_quotes
        on
            own_quotes.symbol = sides.symbol
            and own_quotes.bar_at = sides.bar_at
            and own_quotes.side = sides.side
    left join known_quotes as other_quotes
        on
            other_quotes.symbol = sides.symbol
            and other_quotes.bar_at = sides.bar_at
            and other_quotes.side <> sides.side
    left join silenced
        on
            silenced.symbol = sides.symbol
            and silenced.bar_at = sides.bar_at
            and silenced.side = sides.side
    where if(sides.is_in_both, sides.side = 'faulty', not sides.has_sent)
),

verdicts as (
    select
        case
            when is_in_both and has_other_bars then 'with other values, as other bars were known'
            when is_in_both and has_same_values and has_other_quote
                then 'with another spread, as another quote was known'
            when is_in_both then 'unexplained'
            when not has_row then 'in one run: the other never had the bar'
            when side_at is null then 'in one run: the other had the bar too late'
            when was_entry and is_silenced then 'in one run: cooldown in the other'
            when not was_entry and has_other_bars then 'in one run: other bars were known'
            else 'unexplained'
        end as verdict
    from judged
    union all
    select 'equal' from pairs where has_same_values and has_same_spread
)

select verdict, count(*) from verdicts group by verdict
