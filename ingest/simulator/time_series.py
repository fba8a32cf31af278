"""Alpha Vantage's bodies: the minutes of a month, or days, newest first, every value a text.

Only the interval `1min` and JSON are simulated. Its data is that of the sessions that have ended.
"""

from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np

from ingest.simulator.answers import Answer, Params
from ingest.simulator.faults import disagreeing
from ingest.simulator.market import BARS_1M, Bars
from ingest.simulator.sessions import FIRST_DATE, Session, first_index, last_index, sessions
from ingest.simulator.view import View, adjusted
from ingest.simulator.wire import number

JSON_TYPE = "application/json"
COMPACT_POINTS = 100
TRAILING = timedelta(days=30)

ROW = """\
        "{stamp}": {{
            "1. open": "{open}",
            "2. high": "{high}",
            "3. low": "{low}",
            "4. close": "{close}",
            "5. volume": "{volume}"
        }}"""


def intraday(view: View, params: Params) -> Answer | None:
    """Return the minutes of a month, or the latest ones; None for what makes no sense."""
    chosen = _sessions_asked(view, params.get("month"))
    if chosen is None or params.get("interval") != "1min":
        return None
    pieces = [_minutes(view, params, session) for session in chosen]
    series = np.concatenate([*pieces, np.empty(0, dtype=BARS_1M)])
    is_full = params.get("outputsize") == "full"
    series = view.spoiled(series if is_full else series[-COMPACT_POINTS:])
    stamps = [text.replace("T", " ") for text in np.datetime_as_string(series["bar_at"], "s")]
    head = {
        "1. Information": "Intraday (1min) open, high, low, close prices and volume",
        "2. Symbol": params["symbol"],
        "3. Last Refreshed": max(stamps, default=""),
        "4. Interval": "1min",
        "5. Output Size": "Full size" if is_full else "Compact",
        "6. Time Zone": "US/Eastern",
    }
    return _series_of(head, "Time Series (1min)", stamps, series)


def _sessions_asked(view: View, month: str | None) -> list[Session] | None:
    """Return the ended sessions of a month, or of the last days; None where there is no such."""
    last = view.today
    if month is None:
        first = last - TRAILING
    else:
        try:
            first = max(date.fromisoformat(f"{month}-01"), FIRST_DATE)
        except ValueError:
            return None
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    chosen = sessions()[first_index(first) : last_index(last) + 1]
    return [session for session in chosen if session.post_close_at <= view.now]


def _minutes(view: View, params: Params, session: Session) -> Bars:
    """Return a session's bars with stamps of New York's wall clock."""
    bars = view.minutes(params["symbol"], session)
    if params.get("extended_hours") == "false":
        edges = [np.datetime64(edge, "us") for edge in (session.open_at, session.close_at)]
        first, last = np.searchsorted(bars["bar_at"], edges)
        bars = bars[first:last]
    is_adjusted = params.get("adjusted") != "false"
    bars = _known(view, params["symbol"], bars, is_adjusted=is_adjusted).copy()
    bars["bar_at"] += np.timedelta64(session.utc_offset)
    return bars


def daily(view: View, params: Params) -> Answer:
    is_full = params.get("outputsize") == "full"
    bars = view.daily(params["symbol"], FIRST_DATE, view.today)
    bars = bars if is_full else bars[-COMPACT_POINTS:]
    series = view.spoiled(_known(view, params["symbol"], bars, is_adjusted=False))
    stamps = np.datetime_as_string(series["session_date"]).tolist()
    head = {
        "1. Information": "Daily Prices (open, high, low, close) and Volumes",
        "2. Symbol": params["symbol"],
        "3. Last Refreshed": max(stamps, default=""),
        "4. Output Size": "Full size" if is_full else "Compact",
        "5. Time Zone": "US/Eastern",
    }
    return _series_of(head, "Time Series (Daily)", stamps, series)


def _known(view: View, symbol: str, bars: Bars, *, is_adjusted: bool) -> Bars:
    """Return `bars` as Alpha Vantage has them."""
    if is_adjusted or "adjusted_bars" in view.drawn:
        bars = adjusted(bars, view.known_splits(symbol))
    return disagreeing(bars, view.faults, "alpha_vantage", symbol)


def _series_of(head: dict[str, str], name: str, stamps: list[str], bars: Bars) -> Answer:
    rows = [
        ROW.format(
            stamp=stamp,
            open=_price(bar["open"]),
            high=_price(bar["high"]),
            low=_price(bar["low"]),
            close=_price(bar["close"]),
            volume=number(bar["volume"]),
        )
        for stamp, bar in zip(stamps, bars, strict=True)
    ]
    meta = json.dumps(head, indent=4).replace("\n", "\n    ")
    body = "{\n" + ",\n".join(rows[::-1]) + "\n    }" if rows else "{}"
    text = f'{{\n    "Meta Data": {meta},\n    "{name}": {body}\n}}'
    return Answer(200, text.encode(), JSON_TYPE)


def _price(price: float) -> str:
    return f"{price:.4f}"
