"""Financial Modeling Prep, the `stable` API: one method per endpoint, rows out, nothing else.

Source: https://site.financialmodelingprep.com/developer/docs/stable and answers as recorded.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import requests

from ingest.budget import CallBudget
from ingest.calendar import NEW_YORK, known_session
from ingest.clock import Clock
from ingest.providers import fmp_tables
from ingest.providers.errors import BadAnswerError, FetchRecord, SymbolNotInPlanError
from ingest.providers.fmp_wire import BULK_PAUSE, FMP
from ingest.providers.refusals import Rows
from ingest.providers.transport import Transport

PROVIDER = "fmp"
SCREENER_ROWS = 10_000
DAILY_ROWS = 5000
"""FMP answers no more daily rows at a time, and drops the oldest without a word."""
MOST_PAGES = 20
SOON = timedelta(minutes=5)
DAILY_PATH = "historical-price-eod/non-split-adjusted"
MINUTE_PATH = "historical-chart/1min"
RTH_ONLY = "minute bars are of regular hours only: your FMP plan has no extended=true"


@dataclass(frozen=True)
class Answer:
    """What one request gave: rows with a raw table's columns, and its line for raw.fetch_log."""

    table: pa.Table
    request: FetchRecord
    stray: int = 0
    """Rows that were answered but not asked for (other dates), and left out of `table`."""
    note: str | None = None
    """What a user should know about how it was got."""
    parts: tuple[Answer, ...] = ()
    """What it answers for single symbols: each has its own line in raw.fetch_log, of no calls."""


class FmpClient:
    """A client of FMP, or of a market that behaves like it. Threads may share one.

    Every method raises a ProviderError (ingest/providers/errors.py) with `request` set where the
    provider fails, BudgetSpentError or StoppedError (ingest/budget.py) where no call is allowed.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        budget: CallBudget,
        clock: Clock,
        http: requests.Session,
        *,
        backoff_seconds: float = 0.5,
    ) -> None:
        self.clock = clock
        self.budget = budget
        self._has_extended = True
        self._transport = Transport(FMP, base_url, api_key, budget, clock, http, backoff_seconds)

    def _record(
        self,
        endpoint: str,
        params: dict[str, str],
        symbol: str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
    ) -> FetchRecord:
        asked_at = self.clock.now()
        return FetchRecord(endpoint, asked_at, symbol, from_date, to_date, json.dumps(params))

    def _by_symbol(self, table: pa.Table, record: FetchRecord, endpoint: str) -> Answer:
        """Return an answer without rows of its own, and a part for each row of `table`."""
        parts = []
        for index, symbol in enumerate(table["symbol"].to_pylist()):
            params = json.dumps({"symbol": symbol, "_from": record.request_id})
            dates = (record.from_date, record.to_date)
            part = FetchRecord(endpoint, record.requested_at, symbol, *dates, params)
            part.status, part.outcome, part.row_count = record.status, "ok", 1
            parts.append(Answer(table.slice(index, 1), part))
        return Answer(table.slice(0, 0), record, parts=tuple(parts))

    def screener(self, exchange: str) -> Answer:
        """Return the profiles of all symbols of `exchange` (AMEX, NASDAQ, NYSE), in a few calls.

        They are as of the latest session that has opened. is_adr is null: the screener lacks it.
        """
        as_of = known_session(self.clock.now())
        params = {"exchange": exchange, "limit": str(SCREENER_ROWS)}
        record = self._record("screener", params, from_date=as_of, to_date=as_of)
        found: dict[Any, dict[str, Any]] = {}
        for page in range(100):  # a page may be capped, or not known: until one brings nothing new
            asked = {**params, "page": str(page)} if page else params
            rows = self._transport.get("company-screener", asked, record)
            new = {row.get("symbol"): row for row in rows if row.get("symbol") not in found}
            found.update(new)
            if not new:
                break
        rows = list(found.values())
        record.row_count, record.outcome = len(rows), "ok" if rows else "empty"
        table = fmp_tables.profiles(
            rows, as_of, market_cap="marketCap", exchange="exchangeShortName"
        )
        return Answer(table, record)

    def profile(self, symbol: str) -> Answer:
        """Return the profile of `symbol` as of the latest session that has opened."""
        as_of = known_session(self.clock.now())
        params = {"symbol": symbol}
        record = self._record("profile", params, symbol, as_of, as_of)
        rows = self._transport.get("profile", params, record)
        table = fmp_tables.profiles(rows, as_of, market_cap="marketCap", exchange="exchange")
        return Answer(table, record)

    def profile_files(self, symbols: AbstractSet[str]) -> Answer:
        """Return the profiles of `symbols` from the files of the whole world, one part a symbol."""
        as_of = known_session(self.clock.now())
        record = self._record("profile_bulk", {}, None, as_of, as_of)
        rows: dict[Any, dict[str, Any]] = {}
        for part in range(MOST_PAGES):
            try:
                found = self._transport.get_file(
                    "profile-bulk", {"part": str(part)}, record, symbols
                )
            except BadAnswerError:
                if not part or record.status != HTTPStatus.BAD_REQUEST:
                    raise
                break  # how FMP says that the part before was the last one
            rows |= {row["symbol"]: row for row in found}
            if len(rows) == len(symbols):
                break
            self.budget.sleep(BULK_PAUSE)
        record.row_count, record.outcome = len(rows), "ok" if rows else "empty"
        table = fmp_tables.profiles(
            list(rows.values()), as_of, market_cap="marketCap", exchange="exchange"
        )
        return self._by_symbol(table, record, "profile")

    def daily_bars(self, symbol: str, from_date: date, to_date: date) -> Answer:
        """Return raw.bars_1d rows, both dates included, prices and volume as traded.

        An answer of DAILY_ROWS may have been cut at its old end: the rest is asked for.
        """
        record = self._record(
            "bars_1d", _range(symbol, from_date, to_date), symbol, from_date, to_date
        )
        kept, stray, last = [], 0, to_date
        while True:
            params = _range(symbol, from_date, last)
            rows = self._transport.get(DAILY_PATH, params, record)
            asked = _asked(rows, symbol, from_date, last)
            stray += len(rows) - len(asked)
            kept += asked
            oldest = min((day for day in fmp_tables.dates_of(asked) if day), default="")
            if len(rows) < DAILY_ROWS or not str(from_date) < oldest < str(last):
                break
            last = date.fromisoformat(oldest) - timedelta(days=1)
        record.row_count, record.outcome = len(kept), "ok" if kept else "empty"
        return Answer(fmp_tables.daily_bars(kept, symbol), record, stray)

    def daily_file(self, session_date: date, symbols: Collection[str]) -> Answer:
        """Return the bars of one session from the file of the whole world, one part a symbol.

        Prices are as traded only where no split came since. A symbol that the file lacks has no
        part: whether it traded is not known.
        """
        params = {"date": str(session_date)}
        record = self._record("eod_bulk", params, None, session_date, session_date)
        found = self._transport.get_file("eod-bulk", params, record, symbols)
        rows = {row["symbol"]: row for row in found if row.get("date") == str(session_date)}
        record.row_count, record.outcome = len(rows), "ok" if rows else "empty"
        bars = fmp_tables.market_daily_bars(list(rows.values()))
        return replace(self._by_symbol(bars, record, "bars_1d"), stray=len(found) - len(rows))

    def minute_bars(
        self,
        symbol: str,
        session_date: date,
        extended: bool = True,
        *,
        recheck_first: bool = True,
    ) -> Answer:
        """Return raw.bars_1m rows of one session, prices and volume as traded, oldest first.

        FMP may leave out the first bar of the window asked for: where the first minute of PRE or
        RTH has no bar and one soon after it has, the window is asked once more from the day before
        (`recheck_first`).
        """
        params = _session(symbol, session_date, session_date, extended=extended)
        record = self._record("bars_1m", params, symbol, session_date, session_date)
        rows = self._transport.get(MINUTE_PATH, params, record)
        table = fmp_tables.minute_bars(rows, symbol, session_date)
        stray = len(rows) - table.num_rows
        if recheck_first and _lacks_first_bar(table, session_date):
            before = session_date - timedelta(days=1)
            wide = _session(symbol, before, session_date, extended=extended)
            rows += self._transport.get(MINUTE_PATH, wide, record)
            table = _one_row_per_bar(fmp_tables.minute_bars(rows, symbol, session_date))
        return _minute_answer(table, record, stray)

    def session_bars(self, symbol: str, session_date: date) -> Answer:
        """Return raw.bars_1m rows of one ended session, whole, extended hours included.

        The day before is asked for too, so that what FMP leaves out or cuts off at the start of a
        window is not of this session. In plans without extended hours they are left out, with a
        note.
        """
        params = _session(
            symbol, session_date - timedelta(days=1), session_date, extended=self._has_extended
        )
        record = self._record("bars_1m", params, symbol, session_date, session_date)
        try:
            rows = self._transport.get(MINUTE_PATH, params, record)
        except SymbolNotInPlanError as error:
            if "extended" not in params or "extended" not in str(error).split("plan:")[-1]:
                raise
            self._has_extended = False
            params.pop("extended")
            rows = self._transport.get(MINUTE_PATH, params, record)
        table = fmp_tables.minute_bars(rows, symbol, session_date)
        days = {str(session_date), str(session_date - timedelta(days=1)), None}
        stray = sum(day not in days for day in fmp_tables.dates_of(rows))
        return _minute_answer(table, record, stray, None if self._has_extended else RTH_ONLY)

    def symbol_changes(self, limit: int = 500) -> Answer:
        """Return raw.symbol_changes rows: the newest `limit` of all symbols."""
        params = {"limit": str(limit)}
        record = self._record("symbol_changes", params)
        rows = self._transport.get("symbol-change", params, record)
        return Answer(fmp_tables.symbol_changes(rows), record)

    def delistings(self, since: date) -> Answer:
        """Return raw.delistings rows since `since`, those announced for coming days included."""
        record = self._record("delistings", {"limit": "100"}, None, since)
        found: Rows = []
        for page in range(MOST_PAGES):
            params = {"page": str(page), "limit": "100"}
            rows = self._transport.get("delisted-companies", params, record)
            found += rows
            if not rows or min(str(row.get("delistedDate") or "") for row in rows) < str(since):
                break
        table = fmp_tables.delistings(found)
        table = table.filter(pc.fill_null(pc.greater_equal(table["delisted_date"], since), False))
        record.row_count, record.outcome = table.num_rows, "ok" if table.num_rows else "empty"
        return Answer(table, record)

    def splits_calendar(self, from_date: date, to_date: date) -> Answer:
        """Return all symbols' splits; FMP looks back at most 90 days from `to_date`."""
        params = {"from": str(from_date), "to": str(to_date)}
        record = self._record("splits_calendar", params, None, from_date, to_date)
        return Answer(
            fmp_tables.splits(self._transport.get("splits-calendar", params, record)), record
        )

    def splits(self, symbol: str) -> Answer:
        """Return all splits of `symbol` that are known."""
        params = {"symbol": symbol}
        record = self._record("splits", params, symbol)
        return Answer(fmp_tables.splits(self._transport.get("splits", params, record)), record)

    def batch_quote(self, symbols: Sequence[str]) -> Answer:
        """Return symbol, price, volume and traded_at. Unknown symbols are left out; any order."""
        params = {"symbols": ",".join(symbols)}
        record = self._record("batch_quote", params)
        return Answer(
            fmp_tables.last_trades(self._transport.get("batch-quote", params, record)), record
        )

    def batch_aftermarket_quote(self, symbols: Sequence[str]) -> Answer:
        """Return raw.quotes rows (bid, ask), and the day's volume. Unknown symbols are left out."""
        params = {"symbols": ",".join(symbols)}
        record = self._record("batch_aftermarket_quote", params)
        rows = self._transport.get("batch-aftermarket-quote", params, record)
        return Answer(fmp_tables.quotes(rows), record)

    def market_hours(self, exchange: str) -> Answer:
        """Return exchange, opening_hour, closing_hour and is_open of one exchange now."""
        params = {"exchange": exchange}
        record = self._record("market_hours", params)
        rows = self._transport.get("exchange-market-hours", params, record)
        return Answer(fmp_tables.market_hours(rows), record)


def _range(symbol: str, from_date: date, to_date: date) -> dict[str, str]:
    if from_date > to_date:  # FMP answers such a range with another day's bars
        raise ValueError(f"{symbol}: the range {from_date} to {to_date} is reversed")
    return {"symbol": symbol, "from": str(from_date), "to": str(to_date)}


def _session(symbol: str, from_date: date, to_date: date, *, extended: bool) -> dict[str, str]:
    params = {**_range(symbol, from_date, to_date), "nonadjusted": "true"}
    return {**params, "extended": "true"} if extended else params


def _asked(rows: Rows, symbol: str, from_date: date, to_date: date) -> Rows:
    """Return the daily rows of the symbol and dates asked, and those whose date can't be read."""
    return [
        row
        for row, day in zip(rows, fmp_tables.dates_of(rows), strict=True)
        if (day is None or str(from_date) <= day <= str(to_date))
        and row.get("symbol", symbol) == symbol
    ]


def _minute_answer(
    table: pa.Table, record: FetchRecord, stray: int, note: str | None = None
) -> Answer:
    record.row_count = table.num_rows
    record.outcome = "ok" if table.num_rows else "empty"
    return Answer(table, record, stray, note)


def _lacks_first_bar(bars: pa.Table, session_date: date) -> bool:
    return any(
        not _has_bar(bars, start, start) and _has_bar(bars, start, start + SOON)
        for start in (_utc(session_date, time(4)), _utc(session_date, time(9, 30)))
    )


def _utc(session_date: date, wall: time) -> datetime:
    return datetime.combine(session_date, wall, NEW_YORK).astimezone(UTC).replace(tzinfo=None)


def _has_bar(bars: pa.Table, first: datetime, last: datetime) -> bool:
    stamps = bars["bar_at"]
    is_between = pc.and_(pc.greater_equal(stamps, first), pc.less_equal(stamps, last))
    return bool(pc.any(is_between).as_py())


def _one_row_per_bar(bars: pa.Table) -> pa.Table:
    last = {stamp: index for index, stamp in enumerate(bars["bar_at"].to_pylist())}
    return bars.take(list(last.values()))
