-- The raw tables: what providers said, as they said it. No primary keys (they double the time of an
-- insert); ingest/warehouse.py keeps each table's grain. Times are UTC, prices dollars as traded.
create schema if not exists raw;

create table if not exists raw.universe (
    symbol varchar not null, exchange varchar, name varchar, is_etf boolean, is_test_issue boolean,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.market_calendar (
    session_date date not null, pre_open_at timestamp not null, open_at timestamp not null,
    close_at timestamp not null, post_close_at timestamp not null, is_half_day boolean not null,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.profiles (
    symbol varchar not null, as_of_date date not null, company_name varchar, market_cap double,
    price double, exchange varchar, sector varchar, industry varchar, country varchar,
    is_etf boolean, is_fund boolean, is_adr boolean, is_actively_trading boolean,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.bars_1d (
    symbol varchar not null, session_date date not null,
    open double, high double, low double, close double, volume double,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.bars_1m (
    symbol varchar not null, session_date date not null, bar_at timestamp not null,
    open double, high double, low double, close double, volume double,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.bar_revisions (
    symbol varchar not null, session_date date not null, bar_at timestamp not null,
    open double, high double, low double, close double, volume double,
    provider varchar not null, landed_at timestamp not null, superseded_at timestamp not null
);

create table if not exists raw.quotes (
    symbol varchar not null, quoted_at timestamp not null,
    bid double, ask double, bid_size double, ask_size double,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.splits (
    symbol varchar not null, split_date date not null, numerator double, denominator double,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.symbol_changes (
    change_date date not null, old_symbol varchar not null, new_symbol varchar not null,
    company_name varchar, provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.delistings (
    symbol varchar not null, delisted_date date not null, ipo_date date, exchange varchar,
    company_name varchar, provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.fetch_log (
    request_id varchar not null, requested_at timestamp not null, endpoint varchar not null,
    symbol varchar, from_date date, to_date date, params varchar, status integer, outcome varchar,
    row_count bigint, byte_count bigint, seconds double, attempts integer,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.rejected_rows (
    table_name varchar not null, row_text varchar, reason varchar not null, request_id varchar,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.model_runs (
    run_id varchar not null, horizon_minutes integer not null, trained_at timestamp not null,
    definition_hash varchar, feature_count integer, session_count integer, row_count bigint,
    thr double, metrics varchar, params varchar, is_promoted boolean, outcome varchar,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.signals (
    seq bigint not null, emitted_at timestamp not null, session_date date not null,
    session_segment varchar not null, symbol varchar not null, bar_at timestamp not null,
    state varchar not null, price double, vwap double, rvol_1m double, base_range double,
    spread double, spread_source varchar, move_prev double, score double, thr double,
    model_run varchar, payload varchar not null,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.served_features (
    symbol varchar not null, session_date date not null, bar_at timestamp not null,
    state varchar not null, is_entry boolean not null, features double[] not null,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.served_inputs (
    symbol varchar not null, session_date date not null, definition_hash varchar not null,
    feature_names varchar[] not null, daily_state_hash ubigint, usual_volume_hash ubigint,
    provider varchar not null, landed_at timestamp not null
);

create table if not exists raw.provisional_events (
    symbol varchar not null, session_date date not null, session_segment varchar not null,
    bar_at timestamp not null, event varchar not null, state varchar not null, price double,
    seq bigint, happened_at timestamp not null,
    provider varchar not null, landed_at timestamp not null
);
