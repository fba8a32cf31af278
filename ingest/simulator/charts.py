"""Bars: end of day and one minute, newest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import lru_cache
from math import isnan

import numpy as np

from ingest.simulator.answers import Answer, Handler, Params, day_of, is_true, required
from ingest.simulator.faults import FRESH_MINUTES, ROW_FAULTS
from ingest.simulator.market import Bars, Market
from ingest.simulator.sessions import Session, first_index, last_index, session_on, sessions
from ingest.simulator.view import View, adjusted
from ingest.simulator.wire import array_of, number, row_texts

MINUTE_KEYS = ("date", "open", "low", "high", "close", "volume")
MINUTE_DAYS = 3
"""Calendar days, ending at `to`, that one answer of minute bars holds at most."""

DAILY_ROWS = 5000
KEPT_TEXTS = 128

EOD_KEYS = {
    "light": ("symbol", "date", "price", "volume"),
    "full": (
        *("symbol", "date", "open", "high", "low", "close"),
        *("volume", "change", "changePercent", "vwap"),
    ),
    "non-split-adjusted": (
        *("symbol", "date", "adjOpen", "adjHigh", "adjLow", "adjClose", "volume"),
    ),
    "dividend-adjusted": (
        *("symbol", "date", "adjOpen", "adjHigh", "adjLow", "adjClose", "volume"),
    ),
}


def _numbers(values: Bars) -> list[str]:
    return [number(value) for value in values.tolist()]


def _volumes(values: Bars) -> list[str]:
    return ["null" if isnan(value) else number(value) for value in values.tolist()]


def eod(name: str) -> Handler:
    """Return the handler of `historical-price-eod/<name>`."""

    def handler(view: View, params: Params) -> Answer:
        symbol = required(params, "symbol")
        end = day_of(params, "to") or view.today
        start = day_of(params, "from") or end - timedelta(days=5 * 365 + 1)
        if view.profile(symbol) is None or start > end:
            return Answer(200, b"[]")
        if "wrong_dates" in view.drawn:
            start -= timedelta(days=10)
        bars = view.daily(symbol, start, end)[-DAILY_ROWS:]
        if view.faults.missing_sessions:
            bars = bars[[not view.lacks(symbol, day) for day in bars["session_date"].tolist()]]
        if name != "non-split-adjusted" or "adjusted_bars" in view.drawn:
            bars = adjusted(bars, view.known_splits(symbol))
        return Answer(200, array_of(_eod_rows(name, symbol, bars[::-1])))

    return handler


def _eod_rows(name: str, symbol: str, bars: Bars) -> list[str]:
    heads = [[f'"{symbol}"'] * len(bars), [f'"{day}"' for day in bars["session_date"]]]
    prices = [_numbers(bars[column]) for column in ("open", "high", "low", "close")]
    volume = [_volumes(bars["volume"])]
    if name == "light":
        return row_texts(EOD_KEYS[name], [*heads, prices[3], *volume])
    if name != "full":
        return row_texts(EOD_KEYS[name], [*heads, *prices, *volume])
    change = np.round(bars["close"] - bars["open"], 6)
    percent = 100 * change / bars["open"]
    percent = np.where(np.abs(percent) >= 1, np.round(percent, 2), np.round(percent, 5))
    vwap = np.round((bars["open"] + bars["high"] + bars["low"] + bars["close"]) / 4, 6)
    extras = [_numbers(column) for column in (change, percent, vwap)]
    return row_texts(EOD_KEYS[name], [*heads, *prices, *volume, *extras])


def minute_texts(bars: Bars, session: Session) -> list[str]:
    """Return the JSON rows of minute bars, in their order, with New York's naive stamps."""
    wall: Bars = bars["bar_at"] + np.timedelta64(session.utc_offset)
    stamps = np.datetime_as_string(wall.astype("M8[s]"))
    columns = [_numbers(bars[name]) for name in ("open", "low", "high", "close")]
    return row_texts(
        MINUTE_KEYS,
        [[f'"{stamp[:10]} {stamp[11:]}"' for stamp in stamps], *columns, _volumes(bars["volume"])],
    )


class MinuteChart:
    """The handler of `historical-chart/1min`; keeps the text of what can't change any more."""

    def __init__(self, market: Market) -> None:
        def texts(symbol: str, session: Session) -> list[str]:
            return minute_texts(market.minutes(symbol, session.session_date), session)

        self._texts: Callable[[str, Session], list[str]] = lru_cache(KEPT_TEXTS)(texts)

    def __call__(self, view: View, params: Params) -> Answer:
        """Answer with the window asked for, cut to its newest days without a word."""
        symbol = required(params, "symbol")
        if view.profile(symbol) is None:
            return Answer(200, b"[]")
        found: list[str] = []
        chosen, is_cut = _window(view, symbol, params)
        if chosen and "wrong_dates" in view.drawn:
            before = chosen[0].session_date - timedelta(days=1)
            chosen = [*_sessions_between(before - timedelta(days=4), before), *chosen]
        whole = replace(view, drawn=view.drawn - {"missing_first_bar"})
        for session in chosen:
            seen = view if session is chosen[0] else whole
            found += self._session_texts(seen, symbol, session, params)
        if is_cut:
            found = found[1:]
        return Answer(200, array_of(found[::-1]))

    def _session_texts(
        self, view: View, symbol: str, session: Session, params: Params
    ) -> list[str]:
        if view.lacks(symbol, session.session_date):
            return []
        bars = view.minutes(symbol, session)
        first, last = 0, len(bars)
        if not is_true(params, "extended"):
            edges = [np.datetime64(edge, "us") for edge in (session.open_at, session.close_at)]
            first, last = (int(i) for i in np.searchsorted(bars["bar_at"], edges))
        is_as_traded = is_true(params, "nonadjusted") and "adjusted_bars" not in view.drawn
        splits = [] if is_as_traded else view.known_splits(symbol)
        splits = [split for split in splits if split.split_date > session.session_date]
        if splits or view.drawn & ROW_FAULTS:
            return minute_texts(view.spoiled(adjusted(bars[first:last], splits)), session)
        settled = max(min(last, len(bars) - FRESH_MINUTES - 2), first)
        kept = self._texts(symbol, session)[first:settled]
        return kept + minute_texts(bars[settled:last], session)


def _window(view: View, symbol: str, params: Params) -> tuple[list[Session], bool]:
    """Return the sessions asked for, oldest first, and whether the window was cut."""
    start, end = day_of(params, "from"), day_of(params, "to")
    if start is None and end is None:
        return _latest(view, symbol, is_true(params, "extended")), False
    end = end or view.today
    if start is not None and start > end:
        alone = session_on(end)
        return [alone] if alone else [], False
    earliest = end - timedelta(days=MINUTE_DAYS - 1)
    is_cut = start is not None and start < earliest
    start = max(start or earliest, earliest)
    return list(_sessions_between(start, end)), is_cut


def _sessions_between(start: date, end: date) -> tuple[Session, ...]:
    return sessions()[first_index(start) : last_index(end) + 1]


def _latest(view: View, symbol: str, is_extended: bool) -> list[Session]:
    last = last_index(view.today)
    begun = [
        session
        for session in sessions()[max(last - 2, 0) : last + 1]
        if (session.pre_open_at if is_extended else session.open_at) < view.now
    ]
    return begun[-2:]
