"""What the simulated provider serves from: a market's symbols, bars and events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Bars = npt.NDArray[Any]
"""Structured rows of BARS_1M or BARS_1D, oldest first. Volume NaN: the provider has none."""

_OHLCV = [(name, "f8") for name in ("open", "high", "low", "close", "volume")]
BARS_1M = np.dtype([("bar_at", "M8[us]"), *_OHLCV])
BARS_1D = np.dtype([("session_date", "M8[D]"), *_OHLCV])
PRICES = ("open", "high", "low", "close")

EXCHANGE_NAMES = {
    "NASDAQ": "NASDAQ Capital Market",
    "NYSE": "New York Stock Exchange",
    "AMEX": "New York Stock Exchange Arca",
}


@dataclass(frozen=True)
class Profile:
    """What does not move about a symbol. Unknown is None."""

    symbol: str
    company_name: str
    exchange: str
    """Short code: NASDAQ, NYSE, AMEX."""
    sector: str | None = None
    industry: str | None = None
    country: str | None = "US"
    is_etf: bool = False
    is_fund: bool = False
    is_adr: bool = False
    is_test_issue: bool = False
    beta: float | None = None
    spread: float = 0.004
    """Usual bid-ask spread, a fraction of the price."""
    ipo_date: date | None = None
    """First session of its history."""
    delisted_date: date | None = None
    """First day on which it no longer trades."""
    known_from: date | None = None
    """First day under this symbol; differs from ipo_date after a symbol change."""
    renamed_on: date | None = None
    """First day on which another symbol has taken this one's place."""

    def trades_on(self, day: date) -> bool:
        """Return whether something trades under this symbol on `day`, if the market is open."""
        ends = [end for end in (self.delisted_date, self.renamed_on) if end is not None]
        return (self.known_from or date.min) <= day and all(day < end for end in ends)


@dataclass(frozen=True)
class Split:
    """`numerator` new shares for `denominator` old ones, from PRE of `split_date` on."""

    symbol: str
    split_date: date
    numerator: int
    denominator: int


@dataclass(frozen=True)
class SymbolChange:
    """`old_symbol` trades as `new_symbol` from `change_date` on."""

    change_date: date
    company_name: str
    old_symbol: str
    new_symbol: str


class Market(Protocol):
    """A source of everything the simulated provider knows. Prices are as traded."""

    def symbols(self, on: date | None = None) -> list[str]:
        """Return the symbols that trade on the day `on`; without it every one that ever does."""

    def profile(self, symbol: str) -> Profile | None:
        """Return the symbol's profile; None where there is no such symbol."""

    def market_cap(self, symbol: str, session_date: date, price: float) -> float | None:
        """Return the company's value in dollars at `price` in that session."""

    def daily(self, symbol: str, start: date, end: date) -> Bars:
        """Return the symbol's daily bars (BARS_1D) from `start` to `end`, both included."""

    def minutes(self, symbol: str, session_date: date) -> Bars:
        """Return the symbol's minute bars (BARS_1M) of the session, extended hours included."""

    def splits(self, symbol: str | None = None) -> list[Split]:
        """Return the splits of `symbol`, or of all, oldest first."""

    def symbol_changes(self) -> list[SymbolChange]:
        """Return every change of a symbol, oldest first."""


def tick_of(prices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the price step: a cent from one dollar on, a hundredth of a cent below."""
    return np.where(prices >= 1.0, 0.01, 0.0001)


def to_tick(prices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return `prices` on the grid of their steps, never below one step."""
    rounded = np.where(prices >= 1.0, np.round(prices, 2), np.round(prices, 4))
    return np.maximum(rounded, 0.0001)
