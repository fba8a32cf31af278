"""Financial Modeling Prep, the `stable` API: one method per endpoint, rows out, nothing else.

Source: https://site.financialmodelingprep.com/developer/docs/stable and answers as recorded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import requests

from ingest.budget import CallBudget
from ingest.calendar import NEW_YORK, known_session
from ingest.clock import Clock
from ingest.providers import fmp_tables
from ingest.providers.errors import FetchRecord
from ingest.providers.fmp_wire import FMP
from ingest.providers.refusals import Rows
from ingest.providers.transport import Transport

PROVIDER = "fmp"
SCREENER_ROWS = 10_000


@dataclass(frozen=True)
class Answer:
    """What one request gave: rows with a raw table's columns, and its line for raw.fetch_log."""

    table: pa.Table
    request: FetchRecord
    stray: int = 0
    """Rows that were answered but not asked for (other dates), and left out of `table`."""


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

    def daily_bars(self, symbol: str, from_date: date, to_date: date) -> Answer:
        """Return raw.bars_1d rows, both dates included, prices and volume as traded."""
        params = {"symbol": symbol, "from": str(from_date), "to": str(to_date)}
        record = self._record("bars_1d", params, symbol, from_date, to_date)
        rows = self._transport.get("historical-price-eod/non-split-adjusted", params, record)
        return Answer(fmp_tables.daily_bars(rows, symbol), record)

    def minute_bars(
        self,
        symbol: str,
        session_date: date,
        extended: bool = True,
        *,
        recheck_first: bool = True,
    ) -> Answer:
        """Return raw.bars_1m rows of one session, prices and volume as traded, oldest first.

        FMP may leave out the first regular bar of the window asked for: where 09:31 is there and
        09:30 is not, the window is asked once more from the day before (`recheck_first`).
        """
        params = {
            "symbol": symbol,
            "from": str(session_date),
            "to": str(session_date),
            "nonadjusted": "true",
            **({"extended": "true"} if extended else {}),
        }
        record = self._record("bars_1m", params, symbol, session_date, session_date)
        rows = self._minute_rows(params, record)
        table, stray = fmp_tables.minute_bars(rows, symbol, session_date)
        if recheck_first and _lacks_first_bar(table, session_date):
            from_before = {**params, "from": str(session_date - timedelta(days=1))}
            rows += self._minute_rows(from_before, record)
            table, _ = fmp_tables.minute_bars(rows, symbol, session_date)
            table = _one_row_per_bar(table)
        record.row_count = table.num_rows
        record.outcome = "ok" if table.num_rows else "empty"
        return Answer(table, record, stray)

    def _minute_rows(self, params: dict[str, str], record: FetchRecord) -> Rows:
        return self._transport.get("historical-chart/1min", params, record)

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


def _lacks_first_bar(bars: pa.Table, session_date: date) -> bool:
    opening = datetime.combine(session_date, time(9, 30), NEW_YORK)
    first = opening.astimezone(UTC).replace(tzinfo=None)
    stamps = set(bars["bar_at"].to_pylist())
    return first + timedelta(minutes=1) in stamps and first not in stamps


def _one_row_per_bar(bars: pa.Table) -> pa.Table:
    last = {stamp: index for index, stamp in enumerate(bars["bar_at"].to_pylist())}
    return bars.take(list(last.values()))
