"""Quotes: the last regular trade, and bid and ask around the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from ingest.simulator.answers import Answer, Params, required, rows
from ingest.simulator.market import Bars, Profile
from ingest.simulator.sessions import Session, last_index, sessions
from ingest.simulator.view import ONE_MINUTE, View, adjusted

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Quote:
    """The last regular session of a symbol, as far as it has gone. Prices on today's basis."""

    profile: Profile
    price: float
    open: float
    high: float
    low: float
    volume: float | None
    close_before: float
    traded_at: datetime
    history: Bars
    """Closed daily bars before the quoted session, a year of them."""
    market_cap: float | None

    @property
    def change(self) -> float:
        """Price less the close before, dollars."""
        return round(self.price - self.close_before, 4)

    @property
    def change_percent(self) -> float:
        """Change over the close before, percent."""
        return round(100 * (self.price / self.close_before - 1), 5)

    @property
    def year_range(self) -> tuple[float, float]:
        """Lowest and highest price of the last year."""
        lows, highs = [*self.history["low"], self.low], [*self.history["high"], self.high]
        return float(min(lows)), float(max(highs))

    def average(self, column: str, count: int) -> float:
        """Return the mean over the last `count` sessions of the history; 0 without any."""
        values = self.history[column][-count:]
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else 0.0


def quote_of(view: View, symbol: str) -> Quote | None:
    """Return the symbol's quote; None where there is no such symbol or it has never traded."""
    profile = view.profile(symbol)
    if profile is None:
        return None
    session = sessions()[max(view.quoted_index(), 0)]
    splits = view.known_splits(symbol)
    start = session.session_date - YEAR
    history = adjusted(view.daily(symbol, start, session.session_date), splits)
    is_running = view.now < session.close_at and view.is_trading(profile)
    today = _regular(view, symbol, session) if is_running else history[:0]
    if len(today):
        now = today
        traded_at = _trade_time(view, today)
    elif len(history):
        now, history = history[-1:], history[:-1]
        last = sessions()[last_index(now["session_date"][0].item())]
        traded_at = last.close_at + timedelta(seconds=1)
    else:
        return None
    price = float(now["close"][-1])
    volume = float(np.nansum(now["volume"]))
    return Quote(
        profile=profile,
        price=price,
        open=float(now["open"][0]),
        high=float(np.nanmax(now["high"])),
        low=float(np.nanmin(now["low"])),
        volume=volume,
        close_before=float(history["close"][-1]) if len(history) else float(now["open"][0]),
        traded_at=traded_at,
        history=history,
        market_cap=view.market.market_cap(symbol, session.session_date, price),
    )


def _regular(view: View, symbol: str, session: Session) -> Bars:
    bars = view.minutes(symbol, session)
    edges = [np.datetime64(edge, "us") for edge in (session.open_at, session.close_at)]
    first, last = np.searchsorted(bars["bar_at"], edges)
    return bars[first:last]


def _trade_time(view: View, bars: Bars) -> datetime:
    end: datetime = (bars["bar_at"][-1] + ONE_MINUTE).item()
    return min(end, view.now - timedelta(seconds=3))


def _unix(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()


def _full_row(quote: Quote) -> dict[str, Any]:
    low, high = quote.year_range
    return {
        "symbol": quote.profile.symbol,
        "name": quote.profile.company_name,
        "price": quote.price,
        "changePercentage": quote.change_percent,
        "change": quote.change,
        "volume": quote.volume,
        "dayLow": quote.low,
        "dayHigh": quote.high,
        "yearHigh": high,
        "yearLow": low,
        "marketCap": quote.market_cap,
        "priceAvg50": round(quote.average("close", 50), 4),
        "priceAvg200": round(quote.average("close", 200), 5),
        "exchange": quote.profile.exchange,
        "open": quote.open,
        "previousClose": quote.close_before,
        "timestamp": int(_unix(quote.traded_at)),
    }


def _short_row(quote: Quote) -> dict[str, Any]:
    return {
        "symbol": quote.profile.symbol,
        "price": quote.price,
        "change": quote.change,
        "volume": quote.volume,
    }


def _quoted(view: View, symbols: list[str], row: Callable[[Quote], dict[str, Any]]) -> Answer:
    quotes = (quote_of(view, symbol) for symbol in symbols)
    return rows([row(quote) for quote in quotes if quote is not None])


def quote(view: View, params: Params) -> Answer:
    """Answer `quote`: one symbol; a comma list is no symbol."""
    return _quoted(view, [required(params, "symbol")], _full_row)


def quote_short(view: View, params: Params) -> Answer:
    """Answer `quote-short`."""
    return _quoted(view, [required(params, "symbol")], _short_row)


def batch_quote(view: View, params: Params) -> Answer:
    """Answer `batch-quote`: unknown symbols are left out, repeated ones repeated."""
    return _quoted(view, required(params, "symbols").split(","), _full_row)


def batch_quote_short(view: View, params: Params) -> Answer:
    """Answer `batch-quote-short`."""
    return _quoted(view, required(params, "symbols").split(","), _short_row)


def batch_exchange_quote(view: View, params: Params) -> Answer:
    """Answer `batch-exchange-quote`, short unless `short=false`."""
    exchange = required(params, "exchange")
    symbols = [p.symbol for p in view.profiles() if p.exchange == exchange and view.is_trading(p)]
    row = _full_row if params.get("short", "").lower() == "false" else _short_row
    return _quoted(view, symbols, row)


def last_trade(view: View, symbol: str) -> tuple[Profile, Bars, bool] | None:
    """Return the bars so far of the last session with any, and whether it is that session now."""
    profile = view.profile(symbol)
    if profile is None:
        return None
    latest = last_index(view.today)
    for index in range(latest, max(latest - 10, -1), -1):
        session = sessions()[index]
        bars = view.minutes(symbol, session)
        if len(bars):
            return profile, bars, view.now < session.post_close_at
    return None


def _aftermarket_quote_row(view: View, symbol: str) -> dict[str, Any] | None:
    found = last_trade(view, symbol)
    if found is None:
        return None
    profile, bars, is_open = found
    price = float(bars["close"][-1])
    bid, ask = _bid_ask(price, profile.spread)
    quoted_at = view.now - timedelta(milliseconds=800)
    if not is_open:
        quoted_at = (bars["bar_at"][-1] + ONE_MINUTE).item()
    size = int(bars["volume"][-1]) if np.isfinite(bars["volume"][-1]) else 0
    return {
        "symbol": symbol,
        "bidSize": 1 + size % 7,
        "bidPrice": bid,
        "askSize": 1 + size % 11,
        "askPrice": ask,
        "volume": float(np.nansum(bars["volume"])),
        "timestamp": int(_unix(quoted_at) * 1000),
    }


def _bid_ask(price: float, spread: float) -> tuple[float, float]:
    tick, digits = (0.01, 2) if price >= 1.0 else (0.0001, 4)
    bid = max(round(price * (1 - spread / 2), digits), tick)
    return bid, max(round(price * (1 + spread / 2), digits), round(bid + tick, digits))


def _aftermarket_trade_row(view: View, symbol: str) -> dict[str, Any] | None:
    found = last_trade(view, symbol)
    if found is None:
        return None
    _, bars, _ = found
    traded_at = min((bars["bar_at"][-1] + ONE_MINUTE).item(), view.now - timedelta(seconds=1))
    volume = bars["volume"][-1]
    return {
        "symbol": symbol,
        "price": float(bars["close"][-1]),
        "tradeSize": int(min(volume, 100)) if np.isfinite(volume) else 1,
        "timestamp": int(_unix(traded_at) * 1000),
    }


def _present(found: list[dict[str, Any] | None]) -> Answer:
    return rows([row for row in found if row is not None])


def aftermarket_quote(view: View, params: Params) -> Answer:
    """Answer `aftermarket-quote`: bid and ask, time in milliseconds."""
    return _present([_aftermarket_quote_row(view, required(params, "symbol"))])


def batch_aftermarket_quote(view: View, params: Params) -> Answer:
    """Answer `batch-aftermarket-quote`."""
    symbols = required(params, "symbols").split(",")
    return _present([_aftermarket_quote_row(view, symbol) for symbol in symbols])


def aftermarket_trade(view: View, params: Params) -> Answer:
    """Answer `aftermarket-trade`: the last print, time in milliseconds."""
    return _present([_aftermarket_trade_row(view, required(params, "symbol"))])


def batch_aftermarket_trade(view: View, params: Params) -> Answer:
    """Answer `batch-aftermarket-trade`."""
    symbols = required(params, "symbols").split(",")
    return _present([_aftermarket_trade_row(view, symbol) for symbol in symbols])
