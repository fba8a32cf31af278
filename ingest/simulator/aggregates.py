"""Massive's aggregates: what a path asks for, the bars of a page, and where the next page is."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import isnan
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np

from ingest.simulator.answers import Params, day_of
from ingest.simulator.faults import disagreeing
from ingest.simulator.market import BARS_1M, PRICES, Bars
from ingest.simulator.provider import Asked
from ingest.simulator.sessions import NEW_YORK, first_index, last_index, new_york_time, sessions
from ingest.simulator.view import View, adjusted

PATH = re.compile(r"/v2/aggs/ticker/([^/]+)/range/1/(minute|day)/([^/]+)/([^/]+)")
DEFAULT_LIMIT, MOST = 5000, 50_000
SPANS = {"minute": np.timedelta64(1, "m"), "day": np.timedelta64(1, "D")}
MICROSECOND = timedelta(microseconds=1)
SHARES_OF_A_TRADE = 200


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
    try:
        if text.isdecimal():
            at = datetime.fromtimestamp(int(text) / 1000, UTC).replace(tzinfo=None)
            return at + timedelta(milliseconds=1) if is_end else at
        day = day_of({name: text}, name)
        if day is not None:
            return new_york_midnight(day + timedelta(days=1 if is_end else 0))
    except (OverflowError, OSError, ValueError):
        pass
    raise ValueError(
        f"Could not parse the time parameter: '{name}'. Use YYYY-MM-DD or millisecond timestamps."
    )


def new_york_midnight(day: date) -> datetime:
    wall = datetime.combine(day, time(0), NEW_YORK)
    return wall.astimezone(UTC).replace(tzinfo=None)


def page_of(view: View, window: Window) -> Bars:
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
    stamped["bar_at"] = [new_york_midnight(day) for day in bars["session_date"].tolist()]
    return stamped


def spoiled(bars: Bars, view: View, window: Window) -> Bars:
    if window.is_ascending:
        return view.spoiled(bars)
    return view.spoiled(bars[::-1])[::-1]


def results_of(bars: Bars) -> list[dict[str, Any]]:
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


def next_url(window: Window, asked: Asked, last: np.datetime64) -> str:
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
