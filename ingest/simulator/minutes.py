"""Minutes of one generated session, hung between that session's daily prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.simulator.market import BARS_1M, PRICES, Bars, to_tick
from ingest.simulator.paths import DailyPath
from ingest.simulator.pumps import Plans
from ingest.simulator.sessions import POST_MINUTES, PRE_MINUTES, Session

Floats = npt.NDArray[np.float64]

LOT = 400.0
"""Shares of a usual trade: decides how often a thin stock has a minute without one."""

PRE_SHARE, POST_SHARE = 0.03, 0.02
"""Volume of extended hours over a usual session's."""


@dataclass(frozen=True)
class Stretch:
    """Minutes of one segment before they become bars."""

    level: Floats
    """(n + 1,) log of the middle of bid and ask at the minutes' edges."""
    sigma: Floats
    """(n,) volatility inside each minute."""
    volume: Floats
    """(n,) shares to expect."""


def make_minutes(
    path: DailyPath, index: int, session: Session, sigma: float, spread: float, rng: np.random.Generator
) -> Bars:
    """Return the minute bars of session `index` of `path`: their RTH sums up to the daily bar."""
    plan = path.plan_of.get(index)
    close_before, opening, closing = (
        float(np.log(prices[index])) for prices in (path.close_before, path.open, path.close)
    )
    pre = _pre(path, index, close_before, opening, sigma, rng, plan)
    regular = _regular(path, index, session.regular_minutes, close_before, sigma, rng, plan)
    post = _post(path, index, closing, sigma, rng)
    whole = Stretch(
        np.concatenate([pre.level[:-1], regular.level[:-1], post.level]),
        np.concatenate([pre.sigma, regular.sigma, post.sigma]),
        np.concatenate([pre.volume, regular.volume, post.volume]),
    )
    ends = whole.level[1:].copy()
    ends[PRE_MINUTES - 1] = pre.level[-1]
    ends[PRE_MINUTES + session.regular_minutes - 1] = regular.level[-1]
    bars, traded = _bars(whole, ends, spread, rng)
    bars["bar_at"] = np.datetime64(session.pre_open_at, "us") + np.arange(
        len(bars)
    ) * np.timedelta64(60_000_000, "us")
    if plan is not None and path.plans is not None and path.plans.halt_minute[plan] >= 0:
        halt = PRE_MINUTES + int(path.plans.halt_minute[plan])
        traded[halt : halt + 5] = False
    segment = slice(PRE_MINUTES, PRE_MINUTES + session.regular_minutes)
    _fit_to_daily(bars[segment], traded[segment], path, index)
    return bars[traded]


def _bridge(knots: Floats, levels: Floats, sigma: Floats, rng: np.random.Generator) -> Floats:
    """Return a random walk over the edges of len(sigma) minutes that meets each knot."""
    edges = np.arange(len(sigma) + 1.0)
    walk = np.concatenate([[0.0], np.cumsum(sigma * rng.standard_normal(len(sigma)))])
    pinned = np.interp(edges, knots, np.interp(knots, edges, walk))
    return np.asarray(np.interp(edges, knots, levels) + walk - pinned)


def _pre(
    path: DailyPath,
    index: int,
    close_before: float,
    opening: float,
    sigma: float,
    rng: np.random.Generator,
    plan: int | None,
) -> Stretch:
    usual = path.usual_volume[index] * PRE_SHARE
    weight = np.exp(np.linspace(-4.0, 0.0, PRE_MINUTES))
    volume = usual * weight / weight.sum()
    knots, levels = [0.0, PRE_MINUTES], [close_before, opening]
    sigmas = np.full(PRE_MINUTES, sigma * 0.012)
    if plan is not None and path.plans is not None and path.plans.shape[plan] in ("A", "D"):
        start, end, peak = path.plans.pre_run[plan]
        knots = [0.0, start, end, PRE_MINUTES]
        levels = [close_before, close_before, close_before + peak, opening]
        minute = np.arange(PRE_MINUTES)
        volume = volume + usual * 12 / PRE_MINUTES * (minute >= start) * (0.5 + (minute < end))
        sigmas = np.where(minute >= start, 0.0025, sigmas)
    return Stretch(_bridge(np.array(knots), np.array(levels), sigmas, rng), sigmas, volume)


def _regular(
    path: DailyPath,
    index: int,
    count: int,
    close_before: float,
    sigma: float,
    rng: np.random.Generator,
    plan: int | None,
) -> Stretch:
    middle = (np.arange(count) + 0.5) / count
    shape = 0.55 + 1.9 * np.exp(-middle * 12) + 0.9 * np.exp(-(1 - middle) * 14)
    opening, closing = np.log(path.open[index]), np.log(path.close[index])
    if plan is None or path.plans is None:
        sigmas = sigma * 0.75 * np.sqrt(shape / shape.sum())
        knots, levels = np.array([0.0, count]), np.array([opening, closing])
    else:
        sigmas, activity = _planned(path.plans, plan, count)
        shape = np.sqrt(shape) * activity
        knots, levels = path.plans.minute[plan], close_before + path.plans.level[plan]
    level = _bridge(knots, levels, sigmas, rng)
    inner = sorted((float(opening), float(closing)))
    bounds = np.log(path.low[index]), np.log(path.high[index])
    level = np.interp(
        level,
        [min(level.min(), inner[0]) - 1e-9, inner[0], inner[1] + 1e-9, max(level.max(), inner[1]) + 2e-9],
        [bounds[0], inner[0], inner[1] + 1e-9, bounds[1] + 2e-9],
    )
    return Stretch(level, sigmas, path.volume[index] * shape / shape.sum())


def _planned(plans: Plans, plan: int, count: int) -> tuple[Floats, Floats]:
    minute = np.arange(float(count))
    knots = plans.minute[plan]
    stretch = np.clip(np.searchsorted(knots, minute, side="right") - 1, 0, len(knots) - 2)
    done = (minute - knots[stretch]) / np.maximum(knots[stretch + 1] - knots[stretch], 1.0)
    start, end = plans.volume[plan].T
    return plans.sigma[plan][stretch], start[stretch] + (end - start)[stretch] * done


def _post(
    path: DailyPath, index: int, closing: float, sigma: float, rng: np.random.Generator
) -> Stretch:
    weight = np.exp(np.linspace(0.0, -4.0, POST_MINUTES))
    sigmas = np.full(POST_MINUTES, sigma * 0.012)
    end = closing + 0.15 * sigma * float(rng.standard_normal())
    level = _bridge(np.array([0.0, POST_MINUTES]), np.array([closing, end]), sigmas, rng)
    volume = path.volume[index] * POST_SHARE * weight / weight.sum()
    return Stretch(level, sigmas, volume)


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


def _fit_to_daily(
    bars: Bars, traded: npt.NDArray[np.bool_], path: DailyPath, index: int
) -> None:
    """Make the traded bars' open, extremes, close and volume the daily bar's, in place."""
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
