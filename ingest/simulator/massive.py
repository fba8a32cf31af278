"""Massive's aggregates over REST: minutes and days, in pages.

Only a multiplier of 1 and the spans `minute` and `day` are simulated. Ingest asks for nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from math import isnan
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np

from ingest.simulator.answers import Answer, Params, day_of
from ingest.simulator.faults import disagreeing
from ingest.simulator.limits import CallMeter
from ingest.simulator.market import BARS_1M, PRICES, Bars
from ingest.simulator.plans import MassivePlan
from ingest.simulator.provider import Asked
from ingest.simulator.sessions import (
    NEW_YORK,
    first_index,
    last_index,
    new_york_time,
    sessions,
)
from ingest.simulator.view import View, adjusted

PREFIX = "/v2/"
PATH = re.compile(r"/v2/aggs/ticker/([^/]+)/range/1/(minute|day)/([^/]+)/([^/]+)")
DEFAULT_LIMIT, MOST = 5000, 50_000
SPANS = {"minute": np.timedelta64(1, "m"), "day": np.timedelta64(1, "D")}
MICROSECOND = timedelta(microseconds=1)
JSON_TYPE = "application/json"
SHARES_OF_A_TRADE = 200
PRICING = "Please upgrade your plan at https://massive.com/pricing"
NOT_ENTITLED = f"You are not entitled to this data. {PRICING}"
BEFORE_END_OF_DAY = f"Attempted to request today's data before end of day. {PRICING}"
NOT_THIS_TIMEFRAME = f"Your plan doesn't include this data timeframe. {PRICING}"
TOO_MANY = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription "
    "to continue. https://massive.com/pricing"
)


@dataclass(frozen=True)
class Window:
    """What one request wants: `start` and `end` are UTC, the end is not included."""

    ticker: str
    span: str
    start: datetime
    end: datetime
    is_adjusted: bool
    is_ascending: bool
    limit: int

    @property
    def symbol(self) -> str:
        """The market's spelling: a class of shares after a hyphen."""
        return self.ticker.replace(".", "-")


class Massive:
    """Massive's paths over the view's market, for `keys` of one plan."""

    def __init__(self, plan: MassivePlan, keys: frozenset[str]) -> None:
        self.plan = plan
        self._calls = {key: CallMeter({"minute": plan.per_minute}) for key in keys}

    def take_key(self, params: Params, headers: Params) -> str | None:
        """Return the key: a parameter, or else a bearer's token."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        return params.pop("apiKey", None) or bearer or None

    def refusal(self, asked: Asked, key: str | None, view: View) -> Answer | None:
        """Return what is forbidden, or can't be understood."""
        if key not in self._calls:
            return _failed(401, view, "ERROR", error="Unknown API Key")
        if "too_many_requests" in view.drawn or self._calls[key].take(view.now):
            return _failed(429, view, "ERROR", error=TOO_MANY)
        if "payment_required" in view.drawn:
            return _failed(403, view, "NOT_AUTHORIZED", message=NOT_ENTITLED)
        if PATH.fullmatch(asked.path) is None:
            return _failed(404, view, "NOT_FOUND", message="Resource not found.")
        try:
            window = read_window(asked)
        except ValueError as problem:
            return _failed(400, view, "ERROR", error=str(problem))
        return self._out_of_plan(window, view)

    def error_inside_200(self) -> Answer:
        """Return a limit's words with status 200."""
        return Answer(200, _text({"status": "ERROR", "error": TOO_MANY}), JSON_TYPE)

    def answer(self, asked: Asked, view: View) -> Answer:
        """Answer with the envelope of one page."""
        window = read_window(asked)
        if "wrong_dates" in view.drawn:
            window = replace(window, start=window.start - timedelta(days=10))
        view = replace(view, now=view.now - (self.plan.delay or timedelta(0)))
        page = _page(view, window)
        bars = page[: window.limit]
        results = _results(_spoiled(bars, view, window))
        body: dict[str, Any] = {
            "ticker": window.ticker,
            "queryCount": len(results),
            "resultsCount": len(results),
            "adjusted": window.is_adjusted,
            **({"results": results} if results else {}),
            "status": self._status(window, view),
            "request_id": _request_id(view),
            **({"count": len(results)} if results else {}),
        }
        if len(page) > len(bars):
            body["next_url"] = _next_url(window, asked, bars[-1]["bar_at"])
        return Answer(200, _text(body), JSON_TYPE)

    def count_bytes(self, key: str | None, view: View, byte_count: int) -> None:
        """Count nothing: bytes are free."""

    def _out_of_plan(self, window: Window, view: View) -> Answer | None:
        message = None
        if self.plan.delay is None and window.end > _new_york_midnight(view.today):
            message = BEFORE_END_OF_DAY
        elif self.plan.history and window.start < view.now - self.plan.history:
            message = NOT_THIS_TIMEFRAME
        return _failed(403, view, "NOT_AUTHORIZED", message=message) if message else None

    def _status(self, window: Window, view: View) -> str:
        is_late = self.plan.delay != timedelta(0) and window.end > _new_york_midnight(view.today)
        return "DELAYED" if is_late else "OK"


def read_window(asked: Asked) -> Window:
    """Return what a path and its parameters ask for; ValueError, in Massive's words, for neither.

    A cursor holds the limit and the order that the first page was asked with.
    """
    found = PATH.fullmatch(asked.path)
    assert found is not None
    ticker, span, first, last = found.groups()
    params = {**asked.params, **_of_cursor(asked.params.get("cursor", ""))}
    start, end = _moment(first, "from"), _moment(last, "to", is_end=True)
    if end <= start:
        raise ValueError("The 'to' time cannot be before the 'from' time")
    limit = params.get("limit", "")
    return Window(
        ticker,
        span,
        start,
        end,
        is_adjusted=params.get("adjusted", "true").lower() != "false",
        is_ascending=params.get("sort", "asc") != "desc",
        limit=max(min(int(limit) if limit.isdecimal() else DEFAULT_LIMIT, MOST), 1),
    )


def _moment(text: str, name: str, *, is_end: bool = False) -> datetime:
    """Return the UTC time of unix milliseconds, or of a date in New York, whose end is its last."""
    if text.isdecimal():
        at = datetime.fromtimestamp(int(text) / 1000, UTC).replace(tzinfo=None)
        return at + timedelta(milliseconds=1) if is_end else at
    day = day_of({name: text}, name)
    if day is None:
        raise ValueError(
            f"Could not parse the time parameter: '{name}'. Use YYYY-MM-DD or millisecond "
            "timestamps."
        )
    return _new_york_midnight(day + timedelta(days=1 if is_end else 0))


def _new_york_midnight(day: date) -> datetime:
    wall = datetime.combine(day, time(0), NEW_YORK)
    return wall.astimezone(UTC).replace(tzinfo=None)


def _page(view: View, window: Window) -> Bars:
    """Return the bars of one page, in its order, and one more where there is another page."""
    pieces, count = [np.empty(0, dtype=BARS_1M)], 0
    for bars in _pieces(view, window):
        stamps = bars["bar_at"]
        asked = bars[(stamps >= window.start) & (stamps < window.end)]
        pieces.append(asked if window.is_ascending else asked[::-1])
        count += len(asked)
        if count > window.limit:
            break
    return np.concatenate(pieces)[: window.limit + 1]


def _pieces(view: View, window: Window) -> Iterator[Bars]:
    """Yield bars of at least the window, oldest first in each piece; the pieces in its order."""
    if view.profile(window.symbol) is None:
        return
    first, last = (new_york_time(at).date() for at in (window.start, window.end - MICROSECOND))
    chosen = sessions()[first_index(first) : last_index(last) + 1]
    if window.span == "day":
        bars = _known(view, window, view.daily(window.symbol, first, last))
        yield _stamped(bars)
        return
    for session in chosen if window.is_ascending else reversed(chosen):
        yield _known(view, window, view.minutes(window.symbol, session))


def _known(view: View, window: Window, bars: Bars) -> Bars:
    """Return `bars` as Massive has them, on the basis asked for."""
    if window.is_adjusted or "adjusted_bars" in view.drawn:
        bars = adjusted(bars, view.known_splits(window.symbol))
    return disagreeing(bars, view.faults, "massive", window.symbol)


def _stamped(bars: Bars) -> Bars:
    """Return daily bars as bars that start at midnight in New York."""
    stamped = np.empty(len(bars), dtype=BARS_1M)
    for name in (*PRICES, "volume"):
        stamped[name] = bars[name]
    stamped["bar_at"] = [_new_york_midnight(day) for day in bars["session_date"].tolist()]
    return stamped


def _spoiled(bars: Bars, view: View, window: Window) -> Bars:
    if window.is_ascending:
        return view.spoiled(bars)
    return view.spoiled(bars[::-1])[::-1]


def _results(bars: Bars) -> list[dict[str, Any]]:
    stamps = bars["bar_at"].astype("M8[ms]").astype("i8").tolist()
    prices = [bars[name].tolist() for name in ("open", "close", "high", "low")]
    typical = np.round((bars["high"] + bars["low"] + bars["close"]) / 3, 4).tolist()
    return [
        {
            "v": None if isnan(volume) else volume,
            "vw": weighted,
            "o": opening,
            "c": close,
            "h": high,
            "l": low,
            "t": stamp,
            "n": 1 if isnan(volume) else int(volume) // SHARES_OF_A_TRADE + 1,
        }
        for volume, weighted, opening, close, high, low, stamp in zip(
            bars["volume"].tolist(), typical, *prices, stamps, strict=True
        )
    ]


def _next_url(window: Window, asked: Asked, last: np.datetime64) -> str:
    """Return where the page after `last` is; the basis has to be asked for again there."""
    first, until = asked.path.split("/")[-2:]
    if window.is_ascending:
        first = str(_milliseconds(last + SPANS[window.span]))
    else:
        until = str(_milliseconds(last) - 1)
    order = "asc" if window.is_ascending else "desc"
    cursor = urlsafe_b64encode(urlencode({"limit": window.limit, "sort": order}).encode())
    path = f"/v2/aggs/ticker/{window.ticker}/range/1/{window.span}/{first}/{until}"
    return f"http://{asked.host}{path}?cursor={cursor.decode().rstrip('=')}"


def _of_cursor(cursor: str) -> Params:
    if not cursor:
        return {}
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, UnicodeDecodeError):
        raise ValueError("Could not parse the cursor") from None
    return dict(parse_qsl(text))


def _milliseconds(at: np.datetime64) -> int:
    return int(at.astype("M8[ms]").astype("i8"))


def _failed(status: int, view: View, kind: str, **words: str) -> Answer:
    body = {"status": kind, "request_id": _request_id(view), **words}
    return Answer(status, _text(body), JSON_TYPE)


def _request_id(view: View) -> str:
    return hashlib.md5(str(view.request_number).encode(), usedforsecurity=False).hexdigest()


def _text(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
