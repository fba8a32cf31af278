"""Section 5 of DESIGN.md as plain loops, one bar at a time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from math import log, sqrt

import numpy as np
from bidask import edge

from tests.oracle.market import Bar, DailyBar, SymbolHistory

GAP_MIN = 0.08


def true_range(high: float, low: float, close_before: float) -> float:
    return max(high - low, abs(high - close_before), abs(low - close_before))


def atr5_pct(series: list[DailyBar]) -> float | None:
    if len(series) < 6:
        return None
    ranges = [
        true_range(bar.high, bar.low, before.close)
        for before, bar in zip(series[-6:-1], series[-5:], strict=True)
    ]
    return sum(ranges) / 5 / series[-1].close


def pump_days_60d(series: list[DailyBar]) -> int | None:
    if min(len(series), 60) < 20:
        return None
    first = max(len(series) - 60, 1)
    return sum(
        series[i].high / series[i - 1].close - 1 >= GAP_MIN for i in range(first, len(series))
    )


def bar_before(bars: list[Bar], index: int) -> Bar | None:
    if index == 0 or bars[index].minute - bars[index - 1].minute > 60:
        return None
    return bars[index - 1]


def spread_est(bars: list[Bar], index: int) -> float | None:
    mark = (bars[index].minute + 1) // 5 * 5
    pairs = [
        (bar_before(bars, i), bars[i])
        for i in range(index + 1)
        if mark - 60 <= bars[i].minute < mark
    ]
    pairs = [(before, bar) for before, bar in pairs if before is not None]
    if len(pairs) < 30:
        return None
    signed = edge_of_pairs(pairs)
    return None if signed is None else max(signed, 0.0)


def edge_of_pairs(pairs: list[tuple[Bar, Bar]]) -> float | None:
    """Signed EDGE of bars given with the bar before each, by the paper's formulas."""
    after = np.log([[b.open, b.high, b.low, b.close] for _, b in pairs])
    prior = np.log([[b.open, b.high, b.low, b.close] for b, _ in pairs])
    o, h, low, m = after[:, 0], after[:, 1], after[:, 2], (after[:, 1] + after[:, 2]) / 2
    h1, l1, c1, m1 = prior[:, 1], prior[:, 2], prior[:, 3], (prior[:, 1] + prior[:, 2]) / 2
    tau = ((h != low) | (low != c1)).astype(float)
    r1, r2, r3, r4, r5 = m - o, o - m1, m - c1, c1 - m1, o - c1
    po = (tau * (o != h)).mean() + (tau * (o != low)).mean()
    pc = (tau * (c1 != h1)).mean() + (tau * (c1 != l1)).mean()
    if tau.sum() < 2 or po == 0 or pc == 0:
        return None
    d1, d3, d5 = (r - r.mean() / tau.mean() * tau for r in (r1, r3, r5))
    x1 = -4 / po * d1 * r2 - 4 / pc * d3 * r4
    x2 = -4 / po * d1 * r5 - 4 / pc * d5 * r4
    e1, e2 = x1.mean(), x2.mean()
    v1, v2 = (x1**2).mean() - e1**2, (x2**2).mean() - e2**2
    s2 = (v2 * e1 + v1 * e2) / (v1 + v2) if v1 + v2 > 0 else (e1 + e2) / 2
    return float(np.sign(s2) * sqrt(abs(s2)))


def edge_21d(series: list[DailyBar]) -> float | None:
    """EDGE of the last 21 daily bars by the reference library."""
    if len(series) < 21:
        return None
    last = np.array([bar[1:5] for bar in series[-21:]])
    signed = edge(last[:, 0], last[:, 1], last[:, 2], last[:, 3], sign=True)
    return None if np.isnan(signed) else max(signed, 0.0)


def baseline_sessions(history: SymbolHistory, session_date: date) -> list[date]:
    half_days = {s.session_date for s in history.calendar if s.is_half_day}
    eligible = [
        d
        for d in sorted(history.minutes)
        if d < session_date and d not in half_days and history.minutes[d].get("RTH")
    ]
    return eligible[-20:] if len(eligible) >= 5 else []


def usual_volumes(
    history: SymbolHistory, session_date: date, segment: str, minute: int
) -> tuple[float | None, float | None]:
    """Usual volume of the minute, and of the segment up to and including it."""
    baseline = baseline_sessions(history, session_date)
    if not baseline:
        return None, None
    start, end = history.session(session_date).segment_bounds(segment)
    near = [m for m in range(minute - 2, minute + 3) if start <= m < end]
    at_minute = so_far = 0.0
    for d in baseline:
        factor = history.split_ratio(d, session_date)
        for bar in history.minutes[d].get(segment, []):
            volume = (bar.volume or 0) * factor
            at_minute += volume if bar.minute in near else 0
            so_far += volume if start <= bar.minute <= minute else 0
    count = len(baseline)
    return at_minute / count / len(near) or None, so_far / count or None


def sum_given(values: Iterable[float | None]) -> float | None:
    """Sum of what is not null; null where nothing is given."""
    given = [value for value in values if value is not None]
    return sum(given) if given else None


def features(
    history: SymbolHistory, session_date: date, segment: str, index: int
) -> dict[str, float | None]:
    """All features of bar `index` of a segment."""
    bars = history.minutes[session_date][segment]
    bar, before = bars[index], bar_before(bars, index)
    so_far = bars[: index + 1]
    volume = sum_given(b.volume for b in so_far)
    series = history.daily_series(session_date)
    previous_close = series[-1].close if series else None
    opens = history.minutes[session_date].get("RTH", [])
    base = [b for b in bars[:index] if b.minute >= bar.minute - 30]
    base_low = min((b.low for b in base), default=0.0)
    base_range = (max(b.high for b in base) - base_low) / base_low if len(base) >= 10 else None
    usual, usual_so_far = usual_volumes(history, session_date, segment, bar.minute)
    typical = sum((b.high + b.low + b.close) / 3 * (b.volume or 0) for b in so_far)
    dollars = sum_given(None if b.volume is None else b.close * b.volume for b in so_far)
    vwap = typical / volume if volume else None
    returns = [
        log(bars[i].close / previous.close)
        for i in range(index + 1)
        if bars[i].minute >= bar.minute - 30 and (previous := bar_before(bars, i))
    ]
    atr = atr5_pct(series)

    def over_previous_close(price: float | None) -> float | None:
        return None if price is None or previous_close is None else price / previous_close - 1

    return {
        "rvol_1m": None if usual is None or bar.volume is None else bar.volume / usual,
        "rvol_day": None if usual_so_far is None or volume is None else volume / usual_so_far,
        "base_range": base_range,
        "move_prev": None if before is None else bar.close / before.close - 1,
        "spread_est": spread_est(bars, index),
        "vwap": vwap,
        "vwap_distance": None if vwap is None else bar.close / vwap - 1,
        "gap": over_previous_close(opens[0].open) if segment != "PRE" and opens else None,
        "change_from_prev_close": over_previous_close(bar.close),
        "prior_high_gain": over_previous_close(max((b.high for b in bars[:index]), default=None)),
        "atr5_pct": atr,
        "pump_days_60d": pump_days_60d(series),
        "range_atr": base_range / atr if base_range is not None and atr else None,
        "minutes_since_open": bar.minute,
        "log_dollar_volume": None if dollars is None else log(1 + dollars),
        "realized_vol_30m": sqrt(sum(r * r for r in returns)) if len(returns) >= 10 else None,
    }
