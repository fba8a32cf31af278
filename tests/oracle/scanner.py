"""Section 4 of DESIGN.md as plain loops, one session and one symbol at a time."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from math import log10
from statistics import fmean
from typing import Any, NamedTuple

import yaml

from ingest.settings import ROOT
from tests.oracle.features import atr5_pct, edge_21d, pump_days_60d
from tests.oracle.market import SymbolHistory

PROJECT = ROOT / "dbt_project"
VARS = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
SCORE = list(csv.DictReader((PROJECT / "seeds" / "scanner_score.csv").open()))


class Profile(NamedTuple):
    as_of_date: date
    exchange: str | None
    price: float | None
    market_cap: float | None
    is_actively_trading: bool | None
    is_etf: bool | None
    is_fund: bool | None


@dataclass(frozen=True)
class Scanned:
    """What the scanner makes of a symbol; `failed_step` is 5 where only score or rank fails."""

    symbol: str
    failed_step: int
    score: float = 0.0
    dollar_volume: float = 0.0
    edge_21d: float | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    """The other columns of marts.watchlist."""


def points(component: Mapping[str, str], value: float | None) -> float:
    if value is None:
        return 0.0
    zero, full = float(component["value_at_zero"]), float(component["value_at_full"])
    return float(component["points"]) * min(max((value - zero) / (full - zero), 0.0), 1.0)


def is_common_stock(profile: Profile | None) -> bool:
    return (
        profile is not None
        and profile.exchange in VARS["scanner_exchanges"]
        and profile.is_actively_trading is not False
        and not profile.is_etf
        and not profile.is_fund
    )


def within(value: float | None, name: str) -> bool:
    low, high = float(VARS[f"{name}_min"]), float(VARS[f"{name}_max"])
    return value is not None and low <= value <= high


def scan_symbol(symbol: str, profiles: list[Profile], rows: SymbolHistory, day: date) -> Scanned:
    known = [profile for profile in profiles if profile.as_of_date < day]
    profile = max(known, default=None)
    if profile is None or not is_common_stock(profile):
        return Scanned(symbol, 1)
    series = rows.daily_series(day)
    last_close = series[-1].close if series else profile.price
    if not (within(last_close, "price") and within(profile.market_cap, "market_cap")):
        return Scanned(symbol, 2)
    atr = atr5_pct(series)
    if atr is None or atr < VARS["atr5_pct_min"]:
        return Scanned(symbol, 3)
    dates = [session.session_date for session in rows.calendar]
    stale = bisect_left(dates, day) - bisect_left(dates, series[-1].session_date)
    dollar_volume = fmean(bar.close * (bar.volume or 0) for bar in series[-20:])
    if (
        len(series) < VARS["min_sessions"]
        or stale > VARS["max_stale_sessions"]
        or dollar_volume < float(VARS["min_dollar_volume_20d"])
    ):
        return Scanned(symbol, 4)
    before = [bar.volume or 0 for bar in series[-21:-1]]
    usual = fmean(before) if len(before) == 20 else 0
    inputs: dict[str, Any] = {
        "atr5_pct": atr,
        "pump_days_60d": pump_days_60d(series),
        "relative_volume": (series[-1].volume or 0) / usual if usual else None,
        "log10_dollar_volume": log10(dollar_volume),
        "edge_21d": edge_21d(series),
    }
    scored = {
        f"{component['component']}_points": points(component, inputs[component["input_column"]])
        for component in SCORE
    }
    others = {"previous_close": last_close, "market_cap": profile.market_cap} | inputs | scored
    return Scanned(symbol, 5, sum(scored.values()), dollar_volume, inputs["edge_21d"], others)


def watchlist(scanned: list[Scanned]) -> list[Scanned]:
    """The symbols to be watched, in the order of their ranks."""
    good = [row for row in scanned if row.failed_step == 5 and row.score >= VARS["score_min"]]
    good.sort(key=lambda row: (-row.score, -row.dollar_volume, row.symbol))
    return good[: VARS["watchlist_size"]]


def funnel(scanned: list[Scanned]) -> list[tuple[int, int, int]]:
    """Step, symbols into it, symbols out of it."""
    watched = {row.symbol for row in watchlist(scanned)}
    failed = [6 if row.symbol in watched else row.failed_step for row in scanned]
    return [
        (step, sum(f >= step for f in failed), sum(f > step for f in failed))
        for step in range(1, 6)
    ]
