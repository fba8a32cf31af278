"""Days on which a stock runs: the skeleton of price and volume that minutes are hung on.

A run goes up by 8 % and more, usually rests in a quiet base, and breaks out of it. Whether the
break-out goes on is drawn with odds that the base, the run and the volume before it give away in
part: tighter and longer bases on falling volume after larger runs go on more often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DRAWS = 20
"""Uniform random numbers that one day's plan consumes."""

SEQUENCE = "ABACADBAC"
"""Shapes given to the runs of one session, in turn. A: runs before the open, bases from the open,
breaks out within the hour. B: runs at the open, breaks out within the hour. C: runs later in the
day. D: fades all day."""

SPIKE = "E"
"""A break-out of a stock that has not run."""

FULL_DAY = 390


@dataclass(frozen=True)
class Plans:
    """Plans of n days. Levels are logs relative to the close before."""

    shape: npt.NDArray[np.str_]
    minute: Floats
    """(n, 11) minutes of RTH at which the levels hold, growing."""
    level: Floats
    """(n, 11) levels."""
    sigma: Floats
    """(n, 10) volatility of a minute between two of them."""
    volume: Floats
    """(n, 10, 2) activity at the start and the end of each stretch, in usual minutes."""
    pre_run: Floats
    """(n, 3) minute of PRE at which it starts to run, at which it has, and the peak's level."""
    halt_minute: Floats
    """(n,) RTH minute at which a halt of five minutes begins; -1 without."""
    day_volume: Floats
    """(n,) volume of RTH in usual sessions."""


def make_plans(draws: Floats, shape: npt.NDArray[np.str_], spread: float, minutes: Floats) -> Plans:
    """Return the plans of n days from (n, DRAWS) uniform numbers and their shapes.

    `minutes` (n,) is the length of each RTH: on half days what follows the break-out is squeezed.
    """
    u = draws.T
    is_a, is_b, is_c, is_d, is_spike = (shape == name for name in ("A", "B", "C", "D", SPIKE))
    gap = np.select(
        [is_a, is_b, is_c, is_d],
        [0.085 + 0.24 * u[0] ** 1.5, 0.05 * u[0] - 0.01, 0.02 * u[0] - 0.01, 0.09 + 0.15 * u[0]],
        0.03 * (u[0] - 0.5),
    )
    leg = np.select([is_b, is_c], [0.1 + 0.12 * u[1], 0.1 + 0.1 * u[1]], 0.0)
    leg_start = np.select([is_c], [np.floor((30 + 80 * u[2]) * minutes / FULL_DAY)], 0.25)
    leg_end = leg_start + np.select([is_b, is_c], [7.25 + 3 * u[3], 8 + 8 * u[3]], 0.25)
    base = np.select(
        [is_a, is_b, is_c, is_spike],
        [12 + 44 * u[4], 31.5 + 15 * u[4], 31 + 55 * u[4] * minutes / FULL_DAY, 35 + 120 * u[4]],
        30.0,
    )
    breakout = np.floor(leg_end + base)
    quality = _quality(u, np.where(is_a, u[0], u[1]))
    goes_on = u[9] < np.where(is_spike, 0.35, _odds(-1.1 + 2.4 * quality))
    goes_on_again = u[15] < _odds(-1.2 + 1.8 * quality)
    jumps = ~is_d
    jumps_again = jumps & ~is_spike & (u[12] < 0.5)
    jump = np.where(jumps, 0.034 + 0.028 * u[8] + 0.5 * spread, 0.0)
    jump_again = np.where(jumps_again, 0.034 + 0.025 * u[14] + 0.5 * spread, 0.0)
    run = np.where(goes_on, 0.055 + 0.09 * u[10], -(jump + 0.012 + 0.03 * u[10]))
    run_again = np.where(goes_on_again, 0.05 + 0.05 * u[16], -(jump_again + 0.01 + 0.02 * u[16]))
    run, run_again = np.where(jumps, run, -0.02), np.where(jumps_again, run_again, 0.0)
    settle = np.where(goes_on, -run * (0.2 + 0.4 * u[16]), -0.01)

    one = np.ones_like(gap)
    waits = [
        *(one, np.where(goes_on, 4 + 11 * u[11], 2 + 7 * u[11]), 18 + 14 * u[13]),
        *(np.floor(34 + 60 * u[13]), one, np.where(goes_on_again, 4 + 9 * u[11], 5.0)),
    ]
    minute = np.stack([0 * gap, leg_start, leg_end, breakout, *_after(breakout, waits, minutes)], 1)
    steps = [gap, 0 * gap, leg, 0.014 * (u[5] - 0.6), jump, run, settle, 0.012 * (u[19] - 0.5)]
    steps += [jump_again, run_again]
    level = np.cumsum(np.stack(steps, 1), axis=1)
    fade = np.where(is_spike, 0.3, 0.25 + 0.65 * u[19])
    close = level[:, -1] - fade * np.maximum(level[:, -1], 0.0)
    return Plans(
        shape=shape,
        minute=minute,
        level=np.column_stack([level, close]),
        sigma=_sigma(u, goes_on, goes_on_again),
        volume=_volume(u, jumps, jumps_again),
        pre_run=np.column_stack(
            [110 + 120 * u[2], 150 + 120 * u[2] + 50 * u[3], gap * (1 + 0.08 * u[1])]
        ),
        halt_minute=_halts(u, is_b | is_c, is_a & goes_on, leg_start, breakout),
        day_volume=np.where(is_spike, 1.0 + 0.5 * u[17], 3.0 + 3.0 * u[17]),
    )


def _quality(u: Floats, prior_run: Floats) -> Floats:
    weighted = (0.5 - u[5]) + 0.8 * (prior_run - 0.5) + 0.7 * (u[7] - 0.5)
    weighted += 0.5 * (0.5 - u[6]) + 0.4 * (u[4] - 0.5)
    return np.asarray(weighted * np.sqrt(12.0 / 2.54))


def _odds(logit: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def _after(breakout: Floats, waits: list[Floats], minutes: Floats) -> list[Floats]:
    """Return the minutes after the break-out, squeezed to end before the close, and the close."""
    offsets = np.cumsum(np.stack(waits, 1), axis=1)
    room = minutes - 6.0 - breakout
    squeeze = np.minimum(1.0, room / offsets[:, -1])
    marks = breakout[:, None] + np.maximum(
        np.floor(offsets * squeeze[:, None]), np.arange(1, offsets.shape[1] + 1)
    )
    return [*marks.T, minutes]


def _sigma(u: Floats, goes_on: npt.NDArray[np.bool_], again: npt.NDArray[np.bool_]) -> Floats:
    base = 0.0006 + 0.0016 * u[5]
    quiet, busy, same = 0.0014 + 0 * base, 0.0035 + 0 * base, 0.0022 + 0 * base
    runs = [np.where(flag, 0.0018, 0.0024) for flag in (goes_on, again)]
    return np.stack(
        [same, busy, base, quiet, runs[0], same, base * 1.1, quiet, runs[1], same], axis=1
    )


def _volume(u: Floats, jumps: npt.NDArray[np.bool_], again: npt.NDArray[np.bool_]) -> Floats:
    one = np.ones_like(u[0])
    fading = 0.2 + 0.9 * u[6]
    burst = np.where(jumps, 7 + 14 * u[7], 1.5)
    burst_again = np.where(again, 6 + 9 * u[7], 1.2)
    stretches = [
        (one, one),
        (6 * one, 5 * one),
        (1.6 * one, 1.6 * fading),
        (burst, burst),
        (np.where(jumps, 6.0, 1.5), np.where(jumps, 3.5, 1.5)),
        (2.5 * one, 1.3 * one),
        (1.2 * one, 1.2 * fading),
        (burst_again, burst_again),
        (np.where(again, 5.0, 1.2), np.where(again, 3.0, 1.2)),
        (1.5 * one, one),
    ]
    return np.stack([np.stack(pair, axis=1) for pair in stretches], axis=1)


def _halts(
    u: Floats,
    in_leg: npt.NDArray[np.bool_],
    in_run: npt.NDArray[np.bool_],
    leg_start: Floats,
    breakout: Floats,
) -> Floats:
    halted = u[18] < 0.25
    choices = [np.floor(leg_start) + 2, breakout + 3]
    return np.asarray(np.select([halted & in_leg, halted & in_run], choices, -1.0))
