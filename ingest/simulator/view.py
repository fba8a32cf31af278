"""The market as it can be known at one moment: nothing later gets out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property

import numpy as np

from ingest.simulator.faults import Faults, lacks_session, spoil, unripe
from ingest.simulator.market import BARS_1M, PRICES, Bars, Market, Profile, Split, to_tick
from ingest.simulator.sessions import Session, last_index, new_york_time, sessions

ANNOUNCED_DAYS = 20
"""How long before the day a delisting is announced."""

ONE_MINUTE = np.timedelta64(60_000_000, "us")


@dataclass(frozen=True)
class View:
    """`market` at `now` (naive, UTC), for the request with this number and these faults."""

    market: Market
    now: datetime
    faults: Faults = field(default_factory=Faults)
    drawn: frozenset[str] = frozenset()
    request_number: int = 0

    @cached_property
    def today(self) -> date:
        """New York's date."""
        return new_york_time(self.now).date()

    def profile(self, symbol: str) -> Profile | None:
        """Return the profile of a symbol that is known today."""
        profile = self.market.profile(symbol)
        if profile is None:
            return None
        is_born = (profile.known_from or date.min) <= self.today
        is_replaced = profile.renamed_on is not None and profile.renamed_on <= self.today
        return profile if is_born and not is_replaced else None

    def profiles(self) -> list[Profile]:
        """Return every profile that is known today."""
        known = (self.profile(symbol) for symbol in self.market.symbols())
        return [profile for profile in known if profile is not None]

    def is_trading(self, profile: Profile) -> bool:
        """Return whether the symbol has not been delisted yet."""
        return profile.delisted_date is None or profile.delisted_date > self.today

    def closed_index(self) -> int:
        """Return the index of the last session whose RTH has ended."""
        index = last_index(self.today)
        return index if index >= 0 and sessions()[index].close_at <= self.now else index - 1

    def quoted_index(self) -> int:
        """Return the index of the last session whose RTH has begun: what quotes speak of."""
        index = last_index(self.today)
        return index if index >= 0 and sessions()[index].open_at < self.now else index - 1

    def daily(self, symbol: str, start: date, end: date) -> Bars:
        """Return the closed daily bars from `start` to `end`, as traded."""
        last_closed = sessions()[max(self.closed_index(), 0)].session_date
        return self.market.daily(symbol, start, min(end, last_closed))

    def minutes(self, symbol: str, session: Session) -> Bars:
        """Return the session's bars so far, the running minute as it stands."""
        if session.pre_open_at >= self.now:
            return self.market.minutes(symbol, date.min)
        bars = self.market.minutes(symbol, session.session_date)
        moment = np.datetime64(self.now, "us")
        begun = int(np.searchsorted(bars["bar_at"], moment, side="left"))
        bars = bars[:begun]
        closed = int(np.searchsorted(bars["bar_at"], moment - ONE_MINUTE, side="right"))
        if closed < len(bars):
            share = float((moment - bars["bar_at"][-1]) / ONE_MINUTE)
            forming = [_forming(bars[row : row + 1], share) for row in range(closed, len(bars))]
            bars = np.concatenate([bars[:closed], *forming])
        return unripe(bars, self.faults, symbol, self.now)

    def lacks(self, symbol: str, session_date: date) -> bool:
        """Return whether FMP has nothing of the symbol's session."""
        return lacks_session(self.faults, symbol, session_date)

    def spoiled(self, bars: Bars) -> Bars:
        """Return `bars` with this request's faults in them."""
        return spoil(bars, self.drawn, self.faults.seed, self.request_number)

    def known_splits(self, symbol: str | None = None) -> list[Split]:
        """Return splits up to today, of symbols known today."""
        return [
            split
            for split in self.market.splits(symbol)
            if split.split_date <= self.today and self.profile(split.symbol)
        ]

    def announced_delistings(self) -> list[Profile]:
        """Return profiles whose delisting is known: past, or announced."""
        horizon = self.today + timedelta(days=ANNOUNCED_DAYS)
        return [p for p in self.profiles() if p.delisted_date and p.delisted_date <= horizon]


def _forming(bars: Bars, share: float) -> Bars:
    """Return the one row of `bars` as after `share` of its minute; none before its first trade."""
    bars = bars.copy()
    bar = bars[0]
    if np.isfinite([bar[name] for name in PRICES]).all():
        moves = {name: (bar[name] - bar["open"]) * share for name in ("high", "low", "close")}
        close, high, low = (to_tick(bar["open"] + moves[name]) for name in ("close", "high", "low"))
        bar["close"] = close
        bar["high"], bar["low"] = max(high, bar["open"], close), min(low, bar["open"], close)
    bar["volume"] = np.floor(bar["volume"] * share)
    return bars if bar["volume"] >= 1 or np.isnan(bar["volume"]) else bars[:0]


def adjusted(bars: Bars, splits: list[Split]) -> Bars:
    """Return `bars` (BARS_1M or BARS_1D) on the basis of the shares after `splits`."""
    if not splits or not len(bars):
        return bars
    stamp = "bar_at" if bars.dtype == BARS_1M else "session_date"
    days = bars[stamp].astype("M8[D]")
    if (
        stamp == "bar_at"
    ):  # POST reaches past midnight UTC; five hours back all bars have their date
        days = (bars[stamp] - np.timedelta64(5, "h")).astype("M8[D]")
    factor = np.ones(len(bars))
    for split in splits:
        before = days < np.datetime64(split.split_date)
        factor[before] *= split.numerator / split.denominator
    if (factor == 1.0).all():
        return bars
    bars = bars.copy()
    for name in PRICES:
        prices = bars[name] / factor
        rounded = np.where(prices >= 1.0, np.round(prices, 2), np.round(prices, 6))
        bars[name] = np.where(factor == 1.0, bars[name], rounded)
    bars["volume"] = bars["volume"] * factor
    return bars
