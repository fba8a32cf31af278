"""The segments of one generated session: levels, volatility and volume minute by minute."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.simulator.companies import Company
from ingest.simulator.paths import DailyPath
from ingest.simulator.pumps import Plans
from ingest.simulator.sessions import POST_MINUTES, PRE_MINUTES, Session

Floats = npt.NDArray[np.float64]

PRE_SHARE, POST_SHARE = 0.03, 0.02
"""Volume of extended hours over a usual session's."""


@dataclass(frozen=True)
class Day:
    """Session `index` of a company's path."""

    company: Company
    path: DailyPath
    index: int
    session: Session

    @property
    def plans(self) -> tuple[Plans, int] | None:
        """The path's plans and this day's row in them; None where nothing is planned."""
        row = self.path.plan_of.get(self.index)
        return None if row is None or self.path.plans is None else (self.path.plans, row)

    def log(self, prices: Floats) -> float:
        """Return the log of this day's price among a path's prices."""
        return float(np.log(prices[self.index]))


@dataclass(frozen=True)
class Stretch:
    """Minutes of one segment before they become bars."""

    level: Floats
    """(n + 1,) log of the middle of bid and ask at the minutes' edges."""
    sigma: Floats
    """(n,) volatility inside each minute."""
    volume: Floats
    """(n,) shares to expect."""


def before_the_open(day: Day, rng: np.random.Generator) -> Stretch:
    """Return PRE: quiet, unless the day's plan has the stock run there."""
    close_before, opening = day.log(day.path.close_before), day.log(day.path.open)
    usual = day.path.usual_volume[day.index] * PRE_SHARE
    weight = np.exp(np.linspace(-4.0, 0.0, PRE_MINUTES))
    volume = usual * weight / weight.sum()
    knots, levels = [0.0, PRE_MINUTES], [close_before, opening]
    sigmas = np.full(PRE_MINUTES, day.company.sigma * 0.012)
    planned = day.plans
    if planned is not None and planned[0].shape[planned[1]] in ("A", "D"):
        start, end, peak = planned[0].pre_run[planned[1]]
        knots = [0.0, start, end, PRE_MINUTES]
        levels = [close_before, close_before, close_before + peak, opening]
        minute = np.arange(PRE_MINUTES)
        volume = volume + usual * 12 / PRE_MINUTES * (minute >= start) * (0.5 + (minute < end))
        sigmas = np.where(minute >= start, 0.0025, sigmas)
    return Stretch(_bridge(np.array(knots), np.array(levels), sigmas, rng), sigmas, volume)


def regular_hours(day: Day, rng: np.random.Generator) -> Stretch:
    """Return RTH: the day's plan, or a random walk from the open to the close."""
    count = day.session.regular_minutes
    middle = (np.arange(count) + 0.5) / count
    shape = 0.55 + 1.9 * np.exp(-middle * 12) + 0.9 * np.exp(-(1 - middle) * 14)
    opening, closing = day.log(day.path.open), day.log(day.path.close)
    planned = day.plans
    if planned is None:
        sigmas = day.company.sigma * 0.75 * np.sqrt(shape / shape.sum())
        knots, levels = np.array([0.0, count]), np.array([opening, closing])
    else:
        sigmas, activity = _planned(*planned, count)
        shape = np.sqrt(shape) * activity
        knots = planned[0].minute[planned[1]]
        levels = day.log(day.path.close_before) + planned[0].level[planned[1]]
    level = _stretched(_bridge(knots, levels, sigmas, rng), day)
    return Stretch(level, sigmas, day.path.volume[day.index] * shape / shape.sum())


def after_the_close(day: Day, rng: np.random.Generator) -> Stretch:
    """Return POST: quiet and fading."""
    weight = np.exp(np.linspace(0.0, -4.0, POST_MINUTES))
    sigmas = np.full(POST_MINUTES, day.company.sigma * 0.012)
    closing = day.log(day.path.close)
    end = closing + 0.15 * day.company.sigma * float(rng.standard_normal())
    level = _bridge(np.array([0.0, POST_MINUTES]), np.array([closing, end]), sigmas, rng)
    return Stretch(level, sigmas, day.path.volume[day.index] * POST_SHARE * weight / weight.sum())


def _bridge(knots: Floats, levels: Floats, sigma: Floats, rng: np.random.Generator) -> Floats:
    """Return a random walk over the edges of len(sigma) minutes that meets each knot."""
    edges = np.arange(len(sigma) + 1.0)
    walk = np.concatenate([[0.0], np.cumsum(sigma * rng.standard_normal(len(sigma)))])
    pinned = np.interp(edges, knots, np.interp(knots, edges, walk))
    return np.asarray(np.interp(edges, knots, levels) + walk - pinned)


def _stretched(level: Floats, day: Day) -> Floats:
    """Return `level` with its extremes moved to the day's high and low, its ends where they are."""
    ends = day.log(day.path.open), day.log(day.path.close)
    low, high = min(ends), max(ends) + 1e-9
    reached = [min(level.min(), low) - 1e-9, low, high, max(level.max(), high) + 1e-9]
    wanted = [day.log(day.path.low), low, high, day.log(day.path.high) + 1e-9]
    return np.asarray(np.interp(level, reached, wanted))


def _planned(plans: Plans, plan: int, count: int) -> tuple[Floats, Floats]:
    minute = np.arange(float(count))
    knots = plans.minute[plan]
    stretch = np.clip(np.searchsorted(knots, minute, side="right") - 1, 0, len(knots) - 2)
    done = (minute - knots[stretch]) / np.maximum(knots[stretch + 1] - knots[stretch], 1.0)
    start, end = plans.volume[plan].T
    return plans.sigma[plan][stretch], start[stretch] + (end - start)[stretch] * done
