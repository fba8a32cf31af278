"""Massive (formerly Polygon.io), aggregates over REST: rows out, nothing else.

Source: https://massive.com/docs/rest/stocks and the vendor's client.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import requests

from ingest.budget import CallBudget
from ingest.calendar import NEW_YORK
from ingest.clock import Clock
from ingest.providers.errors import (
    BadAnswerError,
    FetchRecord,
    LimitReachedError,
    NotInPlanError,
    WrongKeyError,
)
from ingest.providers.fmp import Answer
from ingest.providers.fmp_tables import STAMP, numbers
from ingest.providers.refusals import OUTAGES, Refusal, Rows
from ingest.providers.transport import Transport, Wire

PROVIDER = "massive"
LIMIT = 50_000
"""Base aggregates that one answer holds at most."""
MOST_PAGES = 50


def _rows(answer: Any) -> Rows | None:
    """Return the bars of an envelope, with the address of the next page in the last row."""
    if not isinstance(answer, dict) or answer.get("status") not in ("OK", "DELAYED"):
        return None
    if answer.get("adjusted") is True and answer.get("results"):
        return None  # as traded was asked
    rows = list(answer.get("results") or [])
    if answer.get("next_url"):
        rows.append({"next_url": answer["next_url"]})
    return rows


MASSIVE = Wire(
    provider="Massive",
    setting="MASSIVE",
    key_header="Authorization",
    key_prefix="Bearer ",
    find_rows=_rows,
    refusals=(
        Refusal(
            WrongKeyError,
            "Massive refuses the key: {said} Check MASSIVE_API_KEY in .env",
            range(401, 402),
            ("Unknown API Key",),
        ),
        Refusal(
            LimitReachedError,
            "Massive's call limit is reached: {said}",
            range(429, 430),
            ("exceeded the maximum requests",),
            retries=True,
        ),
        Refusal(
            BadAnswerError,
            "{where}: not in your Massive plan: {said}",
            words=("before end of day", "data timeframe"),
        ),
        Refusal(
            NotInPlanError,
            "{where}: not in your Massive plan: {said}",
            range(403, 404),
            ("not entitled to this data",),
        ),
        *OUTAGES,
    ),
)


class MassiveClient:
    """A client of Massive. Threads may share one. It raises as FmpClient does."""

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
            MASSIVE, base_url, api_key, budget, clock, http, backoff_seconds
        )

    def daily_bars(self, symbol: str, from_date: date, to_date: date) -> Answer:
        """Return raw.bars_1d rows, both dates included, prices and volume as traded."""
        record = FetchRecord("bars_1d", self.clock.now(), symbol, from_date, to_date)
        bars = self._aggregates(symbol, "day", from_date, to_date, record)
        stamps = pc.assume_timezone(bars["bar_at"], "UTC").cast(
            pa.timestamp("us", "America/New_York")
        )
        dates = pc.local_timestamp(stamps).cast(pa.date32(), safe=False)
        table = bars.drop(["bar_at"]).add_column(1, "session_date", dates)
        return _kept(table, pc.is_in(dates, pa.array(_days(from_date, to_date))), record)

    def session_bars(self, symbol: str, session_date: date) -> Answer:
        """Return raw.bars_1m rows of one session, extended hours included."""
        record = FetchRecord("bars_1m", self.clock.now(), symbol, session_date, session_date)
        bars = self._aggregates(symbol, "minute", session_date, session_date, record)
        first, end = (_utc(session_date, hour) for hour in (4, 20))
        is_of_session = pc.and_(
            pc.greater_equal(bars["bar_at"], first), pc.less(bars["bar_at"], end)
        )
        dates = pa.array([session_date] * bars.num_rows, pa.date32())
        return _kept(bars.add_column(1, "session_date", dates), is_of_session, record)

    def _aggregates(
        self, symbol: str, span: str, from_date: date, to_date: date, record: FetchRecord
    ) -> pa.Table:
        """Return symbol, bar_at and prices, oldest first, all pages of the answer."""
        path = f"v2/aggs/ticker/{symbol.replace('-', '.')}/range/1/{span}/{from_date}/{to_date}"
        params = {"adjusted": "false", "sort": "asc", "limit": str(LIMIT)}
        record.params = json.dumps(params)
        found: Rows = []
        for _ in range(MOST_PAGES):
            rows = self._transport.get(path, params, record)
            following = rows.pop()["next_url"] if rows and "next_url" in rows[-1] else None
            found += rows
            if following is None:
                break
            address = urlsplit(str(following))  # only its path is believed: the key goes along
            path = address.path.lstrip("/")
            params = {"adjusted": "false", **dict(parse_qsl(address.query))}
        else:
            error = BadAnswerError(f"{path}: Massive's answer has no end after {MOST_PAGES} pages")
            record.outcome, error.request = "error", record
            raise error
        return aggregates_table(found, symbol)


def aggregates_table(rows: Rows, symbol: str) -> pa.Table:
    """Return symbol, bar_at (naive UTC), prices and volume of aggregates."""
    names = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    stamps = pc.cast(numbers(rows, "t"), pa.int64(), safe=False)
    return pa.table(
        {
            "symbol": pa.array([symbol] * len(rows), pa.string()),
            "bar_at": stamps.cast(pa.timestamp("ms")).cast(STAMP),
            **{column: numbers(rows, key) for column, key in names.items()},
        }
    )


def _kept(table: pa.Table, is_asked: Any, record: FetchRecord) -> Answer:
    kept = table.filter(pc.fill_null(is_asked, fill_value=True))
    record.row_count, record.outcome = kept.num_rows, "ok" if kept.num_rows else "empty"
    return Answer(kept, record, table.num_rows - kept.num_rows)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _utc(session_date: date, hour: int) -> datetime:
    wall = datetime.combine(session_date, time(hour), NEW_YORK)
    return wall.astimezone(UTC).replace(tzinfo=None)
