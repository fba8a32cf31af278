"""Alpha Vantage, TIME_SERIES_INTRADAY and TIME_SERIES_DAILY: rows out, nothing else.

One answer holds a whole month of minute bars, so the months asked last are kept: 25 calls a day
are 25 months of a symbol. Source: https://www.alphavantage.co/documentation/
"""

from __future__ import annotations

import json
import threading
from datetime import date
from typing import Any

import pyarrow as pa
import requests

from ingest.budget import CallBudget
from ingest.clock import Clock
from ingest.providers import fmp_tables
from ingest.providers.errors import (
    BadAnswerError,
    FetchRecord,
    LimitReachedError,
    NotInPlanError,
    SymbolNotInPlanError,
    WrongKeyError,
)
from ingest.providers.fmp import Answer
from ingest.providers.refusals import OUTAGES, Refusal, Rows
from ingest.providers.transport import Transport, Wire

PROVIDER = "alpha_vantage"
KEPT_MONTHS = 4
COMPACT_DAYS = 135
"""The newest 100 daily rows are free: 20 weeks. Older ones need the whole series."""


def _rows(answer: Any) -> Rows | None:
    """Return the rows of the one time series in an answer, newest first, as FMP names them."""
    if not isinstance(answer, dict) or "Meta Data" not in answer:
        return None
    series = next((v for k, v in answer.items() if k.startswith("Time Series")), None)
    if not isinstance(series, dict):
        return None
    return [
        {"date": stamp, **{name.partition(". ")[2]: value for name, value in row.items()}}
        for stamp, row in series.items()
    ]


ALPHA_VANTAGE = Wire(
    provider="Alpha Vantage",
    setting="ALPHA_VANTAGE",
    key_param="apikey",
    find_rows=_rows,
    refusals=(
        Refusal(
            LimitReachedError,
            "Alpha Vantage's calls of the day are used up: {said}",
            words=("rate limit is",),
        ),
        Refusal(
            LimitReachedError,
            "Alpha Vantage's call limit is reached: {said}",
            range(429, 430),
            ("spreading out your", "call frequency"),
            retries=True,
        ),
        Refusal(
            NotInPlanError,
            "{where}: not in your Alpha Vantage plan: {said}",
            words=("premium endpoint",),
        ),
        Refusal(
            SymbolNotInPlanError,
            "{where}: not in your Alpha Vantage plan: {said}",
            words=("premium feature",),
        ),
        Refusal(
            WrongKeyError,
            "Alpha Vantage refuses the key: {said} Check ALPHA_VANTAGE_API_KEY in .env",
            range(401, 404),
            ("apikey is invalid", "apikey is missing"),
        ),
        Refusal(
            BadAnswerError,
            "{where}: Alpha Vantage does not know the symbol, or the request: {said}",
            words=("Invalid API call",),
        ),
        *OUTAGES,
    ),
)


class AlphaVantageClient:
    """A client of Alpha Vantage. Threads may share one. It raises as FmpClient does."""

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
        self._transport = Transport(
            ALPHA_VANTAGE, base_url, api_key, budget, clock, http, backoff_seconds
        )
        self._months: dict[tuple[str, str], Rows] = {}
        self._lock = threading.Lock()

    def daily_bars(self, symbol: str, from_date: date, to_date: date) -> Answer:
        """Return raw.bars_1d rows, both dates included, prices and volume as traded."""
        record = FetchRecord("bars_1d", self.clock.now(), symbol, from_date, to_date)
        age = (self.clock.now().date() - from_date).days
        size = "compact" if age <= COMPACT_DAYS else "full"
        rows = self._series("TIME_SERIES_DAILY", {"symbol": symbol, "outputsize": size}, record)
        days = fmp_tables.dates_of(rows)
        asked = [
            row
            for row, day in zip(rows, days, strict=True)
            if day is None or str(from_date) <= day <= str(to_date)
        ]
        table = fmp_tables.plain_daily_bars(asked, symbol)
        return _answer(table, record)

    def session_bars(self, symbol: str, session_date: date) -> Answer:
        """Return raw.bars_1m rows of one session, extended hours included.

        Its month is asked for once; the line of a session from a month that is kept has no attempt.
        """
        record = FetchRecord("bars_1m", self.clock.now(), symbol, session_date, session_date)
        rows = self._month(symbol, session_date, record)
        return _answer(fmp_tables.minute_bars(rows, symbol, session_date), record)

    def _month(self, symbol: str, session_date: date, record: FetchRecord) -> Rows:
        month = f"{session_date:%Y-%m}"
        with self._lock:  # one at a time: the next session is in the same answer
            if (symbol, month) not in self._months:
                params = {
                    "symbol": symbol,
                    "interval": "1min",
                    "month": month,
                    "outputsize": "full",
                    "adjusted": "false",
                    "extended_hours": "true",
                }
                rows = self._series("TIME_SERIES_INTRADAY", params, record)
                while len(self._months) >= KEPT_MONTHS:
                    self._months.pop(next(iter(self._months)))
                self._months[symbol, month] = rows
            return self._months[symbol, month]

    def _series(self, function: str, params: dict[str, str], record: FetchRecord) -> Rows:
        asked = {"function": function, **params, "datatype": "json"}
        record.params = json.dumps(asked)
        return self._transport.get("", asked, record)


def _answer(table: pa.Table, record: FetchRecord) -> Answer:
    record.row_count, record.outcome = table.num_rows, "ok" if table.num_rows else "empty"
    return Answer(table, record)
