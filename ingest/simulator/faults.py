"""What goes wrong with a provider, switched on by rate. All is off by default.

Which requests fail depends on the seed and the request's number only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from zlib import crc32

import numpy as np
from pandas.util import hash_array

from ingest.simulator.market import BARS_1M, PRICES, Bars, to_tick

FRESH_MINUTES = 7
"""A fresh bar may be revised until so many minutes after its end."""


@dataclass(frozen=True)
class Faults:
    """Rates between 0 and 1: shares of requests, or where noted of bars."""

    too_many_requests: float = 0.0
    """429 whatever the plan says."""
    payment_required: float = 0.0
    """402 on a path of the plan."""
    server_error: float = 0.0
    """A 500, 502, 503 or 504."""
    slow: float = 0.0
    """The answer comes after `slow_seconds`."""
    cut_connection: float = 0.0
    """The connection ends in the middle of the answer."""
    html_page: float = 0.0
    """A page for people, with status 200."""
    malformed_json: float = 0.0
    """JSON that stops half way."""
    gzip_garbage: float = 0.0
    """A body that is no gzip though it says so."""
    error_inside_200: float = 0.0
    """An error object with status 200."""
    missing_first_bar: float = 0.0
    """Minute bars without the oldest one of the answer."""
    revised_bars: float = 0.0
    """Share of fresh bars that come out too small and grow during the next minutes."""
    duplicate_rows: float = 0.0
    """Minute bars with some rows twice."""
    out_of_order: float = 0.0
    """Minute bars with some rows out of order."""
    nan: float = 0.0
    """Minute bars with a NaN among the prices."""
    float_volume: float = 0.0
    """Minute bars with a fractional volume."""
    null_volume: float = 0.0
    """Minute bars with a null volume."""
    adjusted_bars: float = 0.0
    """Prices adjusted for later splits, though as traded was asked."""
    wrong_dates: float = 0.0
    """Bars of days before the asked ones, too."""
    disagreeing_bars: float = 0.0
    """Share of the other providers' bars whose prices and volume are not FMP's."""
    missing_sessions: float = 0.0
    """Share of a symbol's sessions of which FMP has neither minutes nor a daily bar."""
    slow_seconds: float = 2.0
    """Real seconds."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in RATES:
            rate = getattr(self, name)
            if not 0.0 <= rate <= 1.0:
                raise ValueError(f"fault {name} is {rate}: expected a rate from 0 to 1")

    def drawn(self, request_number: int) -> frozenset[str]:
        """Return the names of the faults of this request."""
        if not any(getattr(self, name) for name in RATES):
            return frozenset()
        draws = np.random.default_rng([self.seed, request_number]).random(len(RATES))
        return frozenset(
            name for name, draw in zip(RATES, draws, strict=True) if draw < getattr(self, name)
        )


RATES = tuple(each.name for each in fields(Faults) if each.name not in ("slow_seconds", "seed"))


def parse_faults(texts: list[str], seed: int = 0) -> Faults:
    """Return the faults of `NAME=RATE` texts; ValueError with the names to choose from."""
    return Faults(seed=seed, **parse_rates(texts, (*RATES, "slow_seconds")))


def parse_rates(texts: list[str], names: Sequence[str]) -> dict[str, float]:
    """Return name to rate of `NAME=RATE` texts; ValueError with the names to choose from."""
    rates: dict[str, float] = {}
    for text in texts:
        name, _, rate = text.partition("=")
        try:
            rates[name] = float(rate or "1")
        except ValueError:
            raise ValueError(f"fault {text!r}: expected NAME=RATE, the rate from 0 to 1") from None
        if name not in names:
            raise ValueError(f"fault {name!r} is unknown: expected one of {', '.join(names)}")
    return rates


def unripe(bars: Bars, faults: Faults, symbol: str, now: datetime) -> Bars:
    """Return `bars` (oldest first) as they are while fresh: some too small, growing with age."""
    moment = np.datetime64(now, "us")
    ages: Bars = moment - bars["bar_at"]
    age = ages.astype("f8") / 60_000_000 - 1.0
    fresh = np.flatnonzero(age < FRESH_MINUTES)
    if not faults.revised_bars or not len(fresh):
        return bars
    bars = bars.copy()
    for row in fresh:
        minute = int(bars["bar_at"][row].astype("i8") // 60_000_000)
        name = int.from_bytes(symbol.encode()[:6], "big")
        rng = np.random.default_rng([faults.seed, name, minute])
        if rng.random() >= faults.revised_bars:
            continue
        ripe = rng.uniform(0.3, 0.95) ** 0.5
        share = min(1.0, ripe + (1 - ripe) * np.floor(max(age[row], 0.0)) / FRESH_MINUTES)
        shrink(bars, int(row), float(share))
    return bars


def shrink(bars: Bars, row: int, share: float) -> None:
    """Make one bar as it would be with only `share` of its volume known, in place."""
    bar = bars[row]
    inner = max(bar["open"], bar["close"]), min(bar["open"], bar["close"])
    bar["high"] = to_tick(inner[0] + (bar["high"] - inner[0]) * share)
    bar["low"] = to_tick(inner[1] - (inner[1] - bar["low"]) * share)
    bar["volume"] = max(np.floor(bar["volume"] * share), 1.0)


def lacks_session(faults: Faults, symbol: str, session_date: date) -> bool:
    """Return whether FMP has nothing of the symbol's session."""
    if not faults.missing_sessions:
        return False
    draw = np.random.default_rng([faults.seed, crc32(symbol.encode()), session_date.toordinal()])
    return bool(draw.random() < faults.missing_sessions)


def disagreeing(bars: Bars, faults: Faults, provider: str, symbol: str) -> Bars:
    """Return `bars` as another provider has them: some 2 % dearer, with half of the volume more."""
    if not faults.disagreeing_bars or not len(bars):
        return bars
    name = crc32(f"{faults.seed} {provider} {symbol}".encode()) << 32
    stamp = "bar_at" if bars.dtype == BARS_1M else "session_date"
    stamps = bars[stamp].astype("M8[us]").astype("u8")
    draws = hash_array(stamps ^ np.uint64(name)) / 2.0**64
    chosen = draws < faults.disagreeing_bars
    bars = bars.copy()
    for price in PRICES:
        bars[price][chosen] = to_tick(bars[price][chosen] * 1.02)
    bars["volume"][chosen] = np.ceil(bars["volume"][chosen] * 1.5)
    return bars


def spoil(bars: Bars, drawn: frozenset[str], seed: int, request_number: int) -> Bars:
    """Return `bars` (oldest first) with this request's faults in them."""
    if not len(bars) or not drawn & ROW_FAULTS:
        return bars
    rng = np.random.default_rng([seed, request_number, 1])
    bars = bars.copy()
    if "missing_first_bar" in drawn:
        bars = bars[1:]
    if "nan" in drawn and len(bars):
        bars[PRICES[int(rng.integers(4))]][int(rng.integers(len(bars)))] = np.nan
    if "float_volume" in drawn and len(bars):
        bars["volume"][int(rng.integers(len(bars)))] += 0.8568699993
    if "null_volume" in drawn and len(bars):
        bars["volume"][int(rng.integers(len(bars)))] = np.nan
    if "duplicate_rows" in drawn:
        again = rng.integers(len(bars), size=min(3, len(bars)))
        bars = np.insert(bars, again, bars[again])
    if "out_of_order" in drawn and len(bars) > 1:
        row = int(rng.integers(len(bars) - 1))
        bars[[row, row + 1]] = bars[[row + 1, row]]
    return bars


ROW_FAULTS = frozenset(
    {"missing_first_bar", "nan", "float_volume", "null_volume", "duplicate_rows", "out_of_order"}
)
