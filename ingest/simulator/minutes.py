"""Minutes of one generated session, hung between that session's daily prices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ingest.simulator.market import BARS_1M, PRICES, Bars, to_tick
from ingest.simulator.sessions import PRE_MINUTES
from ingest.simulator.stretches import (
    Day,
    Floats,
    Stretch,
    after_the_close,
    before_the_open,
    regular_hours,
)

LOT = 1200.0
"""Shares of a usual trade: decides how often a thin stock has a minute without one."""

HALT_MINUTES = 5


def make_minutes(day: Day, rng: np.random.Generator) -> Bars:
    """Return the minute bars of `day`: those of RTH add up to its daily bar."""
    segments = before_the_open(day, rng), regular_hours(day, rng), after_the_close(day, rng)
    whole = Stretch(
        np.concatenate([*(segment.level[:-1] for segment in segments), segments[-1].level[-1:]]),
        np.concatenate([segment.sigma for segment in segments]),
        np.concatenate([segment.volume for segment in segments]),
    )
    ends = np.concatenate([segment.level[1:] for segment in segments])
    bars, traded = _bars(whole, ends, day.company.spread, rng)
    minutes = np.arange(len(bars)) * np.timedelta64(60_000_000, "us")
    bars["bar_at"] = np.datetime64(day.session.pre_open_at, "us") + minutes
    if day.plans is not None and (halt := int(day.plans[0].halt_minute[day.plans[1]])) >= 0:
        traded[PRE_MINUTES + halt : PRE_MINUTES + halt + HALT_MINUTES] = False
    regular = slice(PRE_MINUTES, PRE_MINUTES + day.session.regular_minutes)
    _fit_to_daily(bars[regular], traded[regular], day)
    return bars[traded]


def _bars(
    stretch: Stretch, ends: Floats, spread: float, rng: np.random.Generator
) -> tuple[Bars, npt.NDArray[np.bool_]]:
    """Return a bar for each minute, with trades at the bid and the ask, and which have traded."""
    count = len(stretch.sigma)
    half = 0.5 * spread
    trades = stretch.volume / LOT
    draws = rng.random((5, count))
    is_single = draws[0] < np.exp(-0.7 * trades)
    starts = np.where(is_single, ends, stretch.level[:-1])
    opening = starts + half * np.where(draws[1] < 0.5, -1.0, 1.0)
    closing = np.where(is_single, opening, ends + half * np.where(draws[2] < 0.5, -1.0, 1.0))
    reach = np.abs(rng.standard_normal((2, count))) * stretch.sigma * 0.4
    is_busy = ~is_single & (draws[3] > np.exp(-0.35 * trades))
    top = np.maximum(starts, ends) + reach[0] + half
    bottom = np.minimum(starts, ends) - reach[1] - half
    bars = np.empty(count, dtype=BARS_1M)
    bars["open"], bars["close"] = to_tick(np.exp(opening)), to_tick(np.exp(closing))
    high = np.where(is_busy, top, np.maximum(opening, closing))
    low = np.where(is_busy, bottom, np.minimum(opening, closing))
    bars["high"] = np.maximum(to_tick(np.exp(high)), np.maximum(bars["open"], bars["close"]))
    bars["low"] = np.minimum(to_tick(np.exp(low)), np.minimum(bars["open"], bars["close"]))
    scatter = np.exp(0.55 * rng.standard_normal(count) - 0.15)
    bars["volume"] = np.maximum(np.round(stretch.volume * scatter), 1.0 + np.floor(100 * draws[4]))
    return bars, draws[4] < 1.0 - np.exp(-trades)


def _fit_to_daily(bars: Bars, traded: npt.NDArray[np.bool_], day: Day) -> None:
    """Make the traded bars' open, extremes, close and volume the daily bar's, in place."""
    path, index = day.path, day.index
    low, high = path.low[index], path.high[index]
    if not traded.any():
        traded[0] = True
    at = np.flatnonzero(traded)
    for name in PRICES:
        bars[name] = np.clip(bars[name], low, high)
    first, last = at[0], at[-1]
    bars["open"][first], bars["close"][last] = path.open[index], path.close[index]
    bars["high"][at[np.argmax(bars["high"][at])]] = high
    bars["low"][at[np.argmin(bars["low"][at])]] = low
    for edge in (first, last):
        bars["high"][edge] = max(bars[name][edge] for name in PRICES)
        bars["low"][edge] = min(bars[name][edge] for name in PRICES)
    share = bars["volume"][at] / bars["volume"][at].sum()
    volume = np.maximum(np.floor(share * path.volume[index]), 1.0)
    volume[np.argmax(volume)] += path.volume[index] - volume.sum()
    bars["volume"][at] = np.maximum(volume, 1.0)
