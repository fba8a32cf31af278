"""The generated market: a seed makes its symbols, their days and their minutes, lazily."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from ingest.simulator.companies import Company, make_company, make_profiles
from ingest.simulator.market import BARS_1D, BARS_1M, Bars, Profile, Split, SymbolChange
from ingest.simulator.minutes import make_minutes
from ingest.simulator.paths import DailyPath, assign_runs, make_path
from ingest.simulator.sessions import first_index, last_index, session_dates, sessions
from ingest.simulator.stretches import Day

KEPT_SESSIONS = 512
"""Symbol-sessions of minutes kept in memory (46 KB each)."""


@dataclass(frozen=True)
class Line:
    """One symbol of a company."""

    company: Company
    profile: Profile


class GeneratedMarket:
    """A market made of `seed`; `symbol_count` symbols trade at any time.

    The same arguments make the same market, to the last bar, in any process and order of calls.
    """

    def __init__(self, seed: int = 7, symbol_count: int = 300) -> None:
        if not 1 <= symbol_count <= 2000:
            raise ValueError(f"symbol_count is {symbol_count}: expected 1 to 2000")
        self.seed = seed
        self._companies = [make_company(seed, slot) for slot in range(symbol_count)]
        self._path = lru_cache(maxsize=None)(self._make_path)
        self._minutes = lru_cache(maxsize=KEPT_SESSIONS)(self._make_minutes)

    @cached_property
    def _runs(self) -> dict[int, npt.NDArray[np.str_]]:
        return assign_runs(self.seed, self._companies)

    @cached_property
    def _lines(self) -> dict[str, Line]:
        return {
            profile.symbol: Line(company, profile)
            for company in self._companies
            for profile in make_profiles(self.seed, company)[0]
        }

    def _make_path(self, slot: int) -> DailyPath:
        return make_path(self.seed, self._companies[slot], self._runs.get(slot))

    def symbols(self, on: date | None = None) -> list[str]:
        """Return the symbols that trade on the day `on`; without it every one that ever does."""
        if on is None:
            return list(self._lines)
        return [s for s, line in self._lines.items() if line.profile.trades_on(on)]

    def watchlist_grade(self) -> list[str]:
        """Return the symbols with a habit of running: what a scanner should find."""
        return [symbol for symbol, line in self._lines.items() if line.company.habit > 0]

    def profile(self, symbol: str) -> Profile | None:
        """Return the symbol's profile; None where there is no such symbol."""
        line = self._lines.get(symbol)
        return line.profile if line else None

    def market_cap(self, symbol: str, session_date: date, price: float) -> float | None:
        """Return the company's value in dollars at `price` in that session."""
        line = self._lines.get(symbol)
        index = last_index(session_date)
        if line is None or index < 0 or line.company.kind == "fund":
            return None
        return float(round(price * self._path(line.company.slot).shares[index]))

    def daily(self, symbol: str, start: date, end: date) -> Bars:
        """Return the symbol's daily bars (BARS_1D) from `start` to `end`, both included."""
        line = self._lines.get(symbol)
        if line is None:
            return np.empty(0, dtype=BARS_1D)
        first, last = self._life(line.profile)
        rows = slice(max(first_index(start), first), min(last_index(end) + 1, last))
        path = self._path(line.company.slot)
        bars = np.empty(max(rows.stop - rows.start, 0), dtype=BARS_1D)
        if len(bars):
            bars["session_date"] = session_dates()[rows]
            for name in ("open", "high", "low", "close", "volume"):
                bars[name] = getattr(path, name)[rows]
        return bars

    def minutes(self, symbol: str, session_date: date) -> Bars:
        """Return the symbol's minute bars (BARS_1M) of the session, extended hours included."""
        line = self._lines.get(symbol)
        index = last_index(session_date)
        if line is None or index < 0 or sessions()[index].session_date != session_date:
            return np.empty(0, dtype=BARS_1M)
        first, last = self._life(line.profile)
        if not first <= index < last:
            return np.empty(0, dtype=BARS_1M)
        return self._minutes(line.company.slot, index)

    def _make_minutes(self, slot: int, index: int) -> Bars:
        day = Day(self._companies[slot], self._path(slot), index, sessions()[index])
        bars = make_minutes(day, np.random.default_rng([self.seed, 5, slot, index]))
        bars.setflags(write=False)
        return bars

    def splits(self, symbol: str | None = None) -> list[Split]:
        """Return the splits of `symbol`, or of all, oldest first."""
        lines = self._lines.values() if symbol is None else [self._lines.get(symbol)]
        found = [split for line in lines if line is not None for split in self._splits(line)]
        return sorted(found, key=lambda split: split.split_date)

    def _splits(self, line: Line) -> list[Split]:
        if line.company.split is None:
            return []
        days = [sessions()[i].session_date for i in self._path(line.company.slot).split_sessions]
        return [Split(line.profile.symbol, day, *line.company.split) for day in days]

    def symbol_changes(self) -> list[SymbolChange]:
        """Return every change of a symbol, oldest first."""
        changes = [c for company in self._companies for c in make_profiles(self.seed, company)[1]]
        return sorted(changes, key=lambda change: change.change_date)

    @staticmethod
    def _life(profile: Profile) -> tuple[int, int]:
        """Return the first session of the profile's history and the one after its last."""
        first = first_index(profile.ipo_date) if profile.ipo_date else 0
        ends = [day for day in (profile.delisted_date, profile.renamed_on) if day]
        return first, first_index(min(ends)) if ends else len(sessions())
