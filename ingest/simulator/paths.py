"""Daily paths of the generated market: every session's open, high, low, close and volume.

A path covers the market's whole life and depends on the seed and the company only, so it is the
same whatever the clock says. Levels are logs of prices as traded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.simulator.companies import Company
from ingest.simulator.market import to_tick
from ingest.simulator.pumps import DRAWS, SEQUENCE, SPIKE, Plans, make_plans
from ingest.simulator.sessions import sessions

Floats = npt.NDArray[np.float64]

SPLIT_PERIOD = 250
"""Sessions between two splits of a company that splits."""

PULL = 0.05
"""Share of its distance to the usual level that a price makes good in a session."""

SPIKE_SHARE = 0.11


@dataclass(frozen=True)
class DailyPath:
    """One company's sessions, by index in `sessions()`. Prices in dollars as traded."""

    close_before: Floats
    """The last close on the basis of this session's shares."""
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    usual_volume: Floats
    """Shares that trade in RTH of a session on which nothing happens."""
    shares: Floats
    """Shares outstanding."""
    split_sessions: npt.NDArray[np.int64]
    plans: Plans | None
    plan_of: dict[int, int]
    """Row of `plans` by session, where the day has a plan."""


def assign_runs(seed: int, companies: list[Company]) -> dict[int, npt.NDArray[np.str_]]:
    """Return, by slot, the shape of each session's run; empty text where it does not run.

    Systematic sampling in a random order: every session has its fair number of runs, and each
    company runs on its own share of sessions.
    """
    runners = [company for company in companies if company.habit > 0]
    rng = np.random.default_rng([seed, 3])
    count = len(sessions())
    order = np.argsort(rng.random((count, len(runners))), axis=1)
    habits = np.array([company.habit for company in runners])[order]
    reached = np.floor(np.cumsum(habits, axis=1) + rng.random((count, 1)))
    runs = np.diff(reached, axis=1, prepend=0.0) > 0
    turn = (np.cumsum(runs, axis=1) - 1) % len(SEQUENCE)
    shape_in_order = np.where(runs, np.array(list(SEQUENCE))[turn], "")
    shape = np.empty_like(shape_in_order)
    np.put_along_axis(shape, order, shape_in_order, axis=1)
    return {company.slot: shape[:, column] for column, company in enumerate(runners)}


def make_path(seed: int, company: Company, runs: npt.NDArray[np.str_] | None) -> DailyPath:
    """Return the daily path of `company`, given the shapes of its runs."""
    rng = np.random.default_rng([seed, 4, company.slot])
    count = len(sessions())
    splits, step, drift, sawtooth = _splits(company, count)
    plans, plan_of = _plans(rng, company, runs, count)
    overnight = np.clip(0.3 * company.sigma * rng.standard_normal(count), -0.06, 0.06)
    intraday = 0.75 * company.sigma * rng.standard_normal(count)
    up, down = 0.35 * company.sigma * np.abs(rng.standard_normal((2, count)))
    extremes = np.stack([up, down]) + 0.5 * company.spread
    noise = np.exp(0.35 * rng.standard_normal(count))
    turnover = noise * (1.0 + 8.0 * np.abs(intraday))
    is_planned = np.zeros(count, dtype=bool)
    if plans is not None:
        at = np.fromiter(plan_of, dtype=np.int64)
        is_planned[at] = True
        overnight[at] = plans.level[:, 0]
        intraday[at] = plans.level[:, -1] - plans.level[:, 0]
        turnover[at] = noise[at] * plans.day_volume
    before, opening, closing = _levels(overnight, intraday, drift, is_planned)
    high, low = (
        np.maximum(opening, closing) + extremes[0],
        np.minimum(opening, closing) - extremes[1],
    )
    if plans is not None:
        margin = 0.5 * company.spread + 0.003
        high[at] = before[at] + plans.level.max(axis=1) + margin
        low[at] = before[at] + plans.level.min(axis=1) - margin
    base = np.log(company.price) + step
    dilution = np.exp(-sawtooth)
    usual = company.volume * dilution
    prices = [to_tick(np.exp(base + part)) for part in (before, opening, high, low, closing)]
    return DailyPath(
        close_before=prices[0],
        open=prices[1],
        high=prices[2],
        low=prices[3],
        close=prices[4],
        volume=np.maximum(np.round(usual * turnover), 1.0),
        usual_volume=usual,
        shares=np.round(company.shares * dilution),
        split_sessions=splits,
        plans=plans,
        plan_of=plan_of,
    )


def _splits(company: Company, count: int) -> tuple[npt.NDArray[np.int64], Floats, Floats, Floats]:
    """Return split sessions, what splits have added to the level, its drift, the sum of both."""
    zeros = np.zeros(count)
    if company.split is None:
        return np.empty(0, dtype=np.int64), zeros, zeros, zeros
    numerator, denominator = company.split
    jump = float(np.log(denominator / numerator))
    phase = company.slot * 53 % SPLIT_PERIOD
    at = np.arange(phase or 1, count, SPLIT_PERIOD)
    step = zeros.copy()
    step[at] = jump
    step = np.cumsum(step)
    drift = -jump * (np.arange(count) - phase) / SPLIT_PERIOD - 0.5 * jump
    return at, step, drift, step + drift


def _plans(
    rng: np.random.Generator,
    company: Company,
    runs: npt.NDArray[np.str_] | None,
    count: int,
) -> tuple[Plans | None, dict[int, int]]:
    if runs is None:
        return None, {}
    shape = np.where((runs == "") & (rng.random(count) < SPIKE_SHARE), SPIKE, runs)
    draws = rng.random((count, DRAWS))
    at = np.flatnonzero(shape != "")
    if not len(at):
        return None, {}
    minutes = np.array([float(sessions()[i].regular_minutes) for i in at])
    plans = make_plans(draws[at], shape[at], company.spread, minutes)
    return plans, {int(session): row for row, session in enumerate(at)}


def _levels(
    overnight: Floats, intraday: Floats, drift: Floats, is_planned: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """Return the level before, at the open and at the close of each session.

    The level follows `drift`, loosely: what is not planned pulls it back there, and pays for what
    the plans gain on average.
    """
    planned_gain = float(np.mean((overnight + intraday) * is_planned))
    target = drift - planned_gain / PULL
    pull = np.where(is_planned, 0.0, PULL)
    moves = overnight + intraday + pull * target
    level = float(target[0])
    levels = [level]
    for kept, move in zip((1.0 - pull).tolist(), moves.tolist(), strict=True):
        level = kept * level + move
        levels.append(level)
    before = np.array(levels[:-1])
    return before, before + overnight, np.array(levels[1:])
