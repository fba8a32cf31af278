"""Who there is: jobs for the calendar, the universe and the profiles."""

from __future__ import annotations

from functools import partial

import duckdb

from ingest.budget import PLANS
from ingest.calendar import known_session, land_calendar
from ingest.clock import Clock
from ingest.download import Request
from ingest.endings import end_histories
from ingest.jobs import Job, JobError, land_missing_calendar
from ingest.plan import ENDING_CALLS, PROFILE_FILE_SYMBOLS, PROFILE_FILES, SCREENER_CALLS
from ingest.providers.errors import BadAnswerError, NotInPlanError
from ingest.providers.fmp import PROVIDER, FmpClient
from ingest.transaction import interrupts_held, transaction
from ingest.universe import MasterFileError, listings_table, merge_masters, read_master
from ingest.warehouse import land, open_warehouse

EXCHANGES = ("AMEX", "NASDAQ", "NYSE")

LISTED = """
    select symbol
    from raw.universe
    where
        exchange in ('AMEX', 'NASDAQ', 'NYSE')
        and not coalesce(is_etf, false)
        and not coalesce(is_test_issue, false)
        and symbol not like '%$%'
"""
"""Symbols that may be common stock, as far as a list of symbols tells."""

SCREENED = """
    select distinct params ->> '$.exchange' from raw.fetch_log
    where
        endpoint = 'screener' and outcome = 'ok' and provider = $provider and from_date = $as_of
"""


def listed_symbols(connection: duckdb.DuckDBPyConnection) -> int:
    """Return how many symbols of the universe may be common stock."""
    return int(connection.execute(f"select count(*) from ({LISTED})").fetchall()[0][0])


def calls_left(connection: duckdb.DuckDBPyConnection, clock: Clock) -> dict[str, int]:
    """Return the calls still to make for profiles and ends of histories, by endpoint."""
    values = {"provider": PROVIDER, "as_of": known_session(clock.now())}
    bought = len(connection.execute(SCREENED, values).fetchall())
    left = SCREENER_CALLS * (len(EXCHANGES) - bought) // len(EXCHANGES)
    return {"screener": left, "endings": ENDING_CALLS if left else 0}


def run_calendar(job: Job) -> None:
    """Land the market calendar: from 2015 to a year past the clock's today."""
    with open_warehouse(job.warehouse) as connection:
        job.summary.count_landing("market_calendar", land_calendar(connection, job.clock))


def run_universe(job: Job) -> None:
    """Land the universe from `data/*.txt`, or from the provider's screener where there is none."""
    land_missing_calendar(job.warehouse, job.clock, job.summary)
    masters = []
    for path in sorted(job.data_dir.glob("*.txt")):
        try:
            masters.append(read_master(path))
        except MasterFileError as error:
            job.note(f"{error}; left out")
    if not masters:
        _universe_from_screener(job)
        return
    with open_warehouse(job.warehouse) as connection, interrupts_held(), transaction(connection):
        for source, listings in merge_masters(masters).items():
            landing = land(
                connection,
                "universe",
                listings_table(listings),
                provider=source,
                landed_at=job.clock.now(),
            )
            job.summary.count_landing("universe", landing)
    for master in masters:
        job.note(f"{master.path.name}: {len(master.listings):,} symbols ({master.format})")
        for note in master.notes:
            job.note(note)


def _universe_from_screener(job: Job) -> None:
    job.note(f"no list of symbols in {job.data_dir}/*.txt: the universe is the provider's screener")
    try:
        _download_screener(job, job.client())
    except NotInPlanError as error:
        raise JobError(
            f"put the exchanges' lists of symbols (AMEX.txt, NASDAQ.txt, NYSE.txt) in "
            f"{job.data_dir}: there is none, and the screener can't replace them ({error})"
        ) from error
    with open_warehouse(job.warehouse) as connection:
        listed = connection.sql(
            "select symbol, exchange, company_name as name, is_etf from raw.profiles "
            "where provider = $provider and as_of_date = $as_of",
            params={"provider": PROVIDER, "as_of": known_session(job.clock.now())},
        ).to_arrow_table()
        landing = land(connection, "universe", listed, provider=PROVIDER, landed_at=job.clock.now())
    job.summary.count_landing("universe", landing)


def run_profiles(job: Job) -> None:
    """Land the profiles as of the latest session: by exchange, or else by file or by symbol."""
    client = job.client()
    try:
        _download_screener(job, client)
    except NotInPlanError as error:
        job.note(f"profiles are bought symbol by symbol, as the screener is refused: {error}")
        if PLANS[job.plan].has_bulk:
            _download_profile_files(job, client)
        _download_profiles(job, client)
    end_histories(job, client)


def _download_screener(job: Job, client: FmpClient) -> None:
    bought = job.read(SCREENED, {"provider": PROVIDER, "as_of": known_session(job.clock.now())})
    wanted = [exchange for exchange in EXCHANGES if (exchange,) not in bought]
    pages = SCREENER_CALLS // len(EXCHANGES)
    requests = [
        Request(e, "profiles", partial(client.screener, e), "screener", calls=pages) for e in wanted
    ]
    job.download(client, "profiles by exchange", requests)


def _download_profile_files(job: Job, client: FmpClient) -> None:
    """Land what the files of the whole world have of many profiles; the rest stays wanted."""
    symbols = set(_profiles_left(job))
    if len(symbols) < PROFILE_FILE_SYMBOLS:
        return
    request = Request(
        "files of profiles",
        "profiles",
        partial(client.profile_files, symbols),
        "profile_bulk",
        calls=PROFILE_FILES,
    )
    try:
        job.download(client, "profiles", [request])
    except (NotInPlanError, BadAnswerError) as error:
        job.note(f"the files of profiles failed: {error}")


def _download_profiles(job: Job, client: FmpClient) -> None:
    requests = [
        Request(s, "profiles", partial(client.profile, s), "profile", s)
        for s in _profiles_left(job)
    ]
    job.download(client, "profiles by symbol", requests)


def _profiles_left(job: Job) -> list[str]:
    return [
        symbol
        for (symbol,) in job.read(
            f"""
            select symbol
            from ({LISTED})
            where
                symbol not in (
                    select symbol from raw.fetch_log
                    where
                        endpoint = 'profile'
                        and outcome in ('ok', 'empty')
                        and provider = $provider
                        and from_date = $as_of
                )
            order by symbol
            """,
            {"provider": PROVIDER, "as_of": known_session(job.clock.now())},
        )
    ]
