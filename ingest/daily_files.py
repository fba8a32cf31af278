"""The newest sessions' daily bars by file: one call for all symbols instead of a call for each.

A file of the whole world holds one session, about 2 MB packed, and another may be asked for half a
minute later. So files are for the morning after a session, in plans that have them, and a history
is bought symbol by symbol: 90 sessions of 1,600 symbols are 1,600 calls and 4 MB, and would be 90
files, 180 MB and 45 minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from itertools import pairwise

from ingest.download import Request
from ingest.jobs import Job
from ingest.plan import DailyRange, sessions_by_file
from ingest.providers.errors import BadAnswerError, NotInPlanError
from ingest.providers.fmp import FmpClient
from ingest.providers.fmp_wire import BULK_PAUSE
from ingest.warehouse import open_warehouse

SPLIT_SINCE = "select distinct symbol from raw.splits where split_date > $first"


def download_daily_files(
    job: Job, client: FmpClient, read_wanted: Callable[[], Sequence[DailyRange]]
) -> None:
    """Land the newest sessions of what `read_wanted` returns by file, in plans that have files.

    Left to calls of their own are symbols that split since, as files are adjusted; what a file
    lacks; and everything where files are refused or can't be read.
    """
    wanted = read_wanted()
    with open_warehouse(job.warehouse) as connection:
        sessions = sessions_by_file(connection, wanted)
    if not sessions:
        return
    split = {symbol for (symbol,) in job.read(SPLIT_SINCE, {"first": sessions[0]})}
    symbols = {symbol for symbol, first, _ in wanted if first > sessions[0]} - split
    try:
        _download(job, client, sessions[0], symbols)
        for before, session in pairwise(sessions):
            job.tell(f"the next file comes after a pause of {BULK_PAUSE:.0f} s")
            client.budget.sleep(BULK_PAUSE)
            still = {symbol for symbol, first, _ in read_wanted() if before < first <= session}
            _download(job, client, session, symbols & still)  # what a file lacked stays wanted
    except (NotInPlanError, BadAnswerError) as error:
        job.note(f"daily bars are bought symbol by symbol, as their file failed: {error}")


def _download(job: Job, client: FmpClient, session: date, symbols: set[str]) -> None:
    fetch = partial(client.daily_file, session, symbols)
    request = Request(f"file of {session}", "bars_1d", fetch, "eod_bulk")
    job.download(client, f"daily bars of {session}", [request])
