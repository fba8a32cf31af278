"""A market of any size: the companies of a generated one, each under many symbols."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from string import ascii_uppercase

from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.market import Bars, Profile, Split, SymbolChange


@dataclass(frozen=True)
class CopiedMarket:
    """`original`, `copies` times: a copy's symbols have its letter before them."""

    original: GeneratedMarket
    copies: int

    def _copied(self, symbols: list[str]) -> list[str]:
        return [f"{letter}{s}" for letter in ascii_uppercase[: self.copies] for s in symbols]

    def symbols(self, on: date | None = None) -> list[str]:
        """Return the symbols that trade on the day `on`; without it every one that ever does."""
        return self._copied(self.original.symbols(on))

    def profile(self, symbol: str) -> Profile | None:
        """Return the symbol's profile; None where there is no such symbol."""
        profile = self.original.profile(symbol[1:])
        return replace(profile, symbol=symbol) if profile else None

    def market_cap(self, symbol: str, session_date: date, price: float) -> float | None:
        """Return the company's value in dollars at `price` in that session."""
        return self.original.market_cap(symbol[1:], session_date, price)

    def daily(self, symbol: str, start: date, end: date) -> Bars:
        """Return the symbol's daily bars from `start` to `end`, both included."""
        return self.original.daily(symbol[1:], start, end)

    def minutes(self, symbol: str, session_date: date) -> Bars:
        """Return the symbol's minute bars of the session, extended hours included."""
        return self.original.minutes(symbol[1:], session_date)

    def splits(self, symbol: str | None = None) -> list[Split]:
        """Return the splits of `symbol`, or of all, oldest first."""
        if symbol is not None:
            return [replace(s, symbol=symbol) for s in self.original.splits(symbol[1:])]
        return [
            replace(split, symbol=symbol)
            for split in self.original.splits()
            for symbol in self._copied([split.symbol])
        ]

    def symbol_changes(self) -> list[SymbolChange]:
        """Return every change of a symbol, oldest first."""
        return [
            replace(change, old_symbol=old, new_symbol=new)
            for change in self.original.symbol_changes()
            for old, new in zip(
                self._copied([change.old_symbol]), self._copied([change.new_symbol]), strict=True
            )
        ]
