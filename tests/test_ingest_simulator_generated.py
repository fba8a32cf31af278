"""What the generated market promises: consistent bars, runs that base and break out, surprises."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime
from itertools import pairwise

import bidask
import numpy as np
import pytest

from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.market import PRICES, Bars
from ingest.simulator.sessions import Session, first_index, sessions

MARKET = GeneratedMarket(seed=7, symbol_count=300)
START = date(2025, 9, 2)
RUNNERS = MARKET.watchlist_grade()
SYMBOLS = MARKET.symbols(START)


def _session(offset: int = 0) -> Session:
    return sessions()[first_index(START) + offset]


def _regular(symbol: str, session: Session) -> Bars:
    bars = MARKET.minutes(symbol, session.session_date)
    open_at, close_at = np.datetime64(session.open_at), np.datetime64(session.close_at)
    return bars[(bars["bar_at"] >= open_at) & (bars["bar_at"] < close_at)]


def _close_before(symbol: str, session: Session) -> float:
    bars = MARKET.daily(symbol, date(2025, 8, 1), session.session_date)
    factor = 1.0
    for split in MARKET.splits(symbol):
        if split.split_date == session.session_date:
            factor = split.numerator / split.denominator
    return float(bars["close"][-2]) / factor


@pytest.mark.parametrize("symbol", [*RUNNERS[:12], *SYMBOLS[:30:3]])
def test_daily_bar_is_made_of_its_minutes(symbol: str) -> None:
    for offset in range(6):
        day = _session(offset).session_date
        daily, bars = MARKET.daily(symbol, day, day)[0], _regular(symbol, _session(offset))
        made = (bars["open"][0], bars["high"].max(), bars["low"].min(), bars["close"][-1])
        assert made == tuple(daily[name] for name in PRICES)
        assert bars["volume"].sum() == daily["volume"]


@pytest.mark.parametrize("symbol", SYMBOLS[::7])
def test_bars_are_possible(symbol: str) -> None:
    bars = MARKET.minutes(symbol, START)
    top, bottom = np.maximum(bars["open"], bars["close"]), np.minimum(bars["open"], bars["close"])
    assert (bars["high"] >= top).all() and (bars["low"] <= bottom).all()
    assert (bars["low"] > 0).all() and (bars["volume"] >= 1).all()


@pytest.mark.parametrize("symbol", SYMBOLS[::11])
def test_prices_are_on_their_grid(symbol: str) -> None:
    bars = MARKET.minutes(symbol, START)
    prices = np.concatenate([bars[name] for name in PRICES])
    grid = np.where(prices >= 1, np.round(prices, 2), np.round(prices, 4))
    assert (prices == grid).all()


def test_same_seed_makes_the_same_bars_in_any_order() -> None:
    other = GeneratedMarket(seed=7, symbol_count=300)
    backwards = [other.minutes(symbol, START) for symbol in reversed(RUNNERS[:5])]
    assert all(
        (mine == MARKET.minutes(symbol, START)).all()
        for symbol, mine in zip(reversed(RUNNERS[:5]), backwards, strict=True)
    )


def test_another_process_makes_the_same_bars() -> None:
    code = (
        "from datetime import date; from ingest.simulator.generated import GeneratedMarket as M;"
        f"print(M(7, 300).minutes({RUNNERS[3]!r}, date(2025, 9, 2)).tobytes().hex()[-400:])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == MARKET.minutes(RUNNERS[3], START).tobytes().hex()[-400:]


def test_another_seed_makes_another_market() -> None:
    assert set(GeneratedMarket(seed=8).symbols()) != set(MARKET.symbols())


def _atr5(bars: Bars) -> float:
    before = bars["close"][:-1]
    ranges = np.maximum(bars["high"][1:], before) - np.minimum(bars["low"][1:], before)
    return float(ranges[-5:].mean() / bars["close"][-1])


def _passes_the_scanner(symbol: str, day: date) -> bool:
    profile = MARKET.profile(symbol)
    bars = MARKET.daily(symbol, date(2025, 5, 1), day)
    if profile.is_etf or profile.is_fund or profile.is_test_issue or len(bars) < 21:
        return False
    if bars["session_date"][-1] != np.datetime64(day):
        return False
    close = float(bars["close"][-1])
    cap = MARKET.market_cap(symbol, day, close) or 0.0
    turnover = float((bars["close"] * bars["volume"])[-20:].mean())
    is_small = 0.3 <= close <= 15 and 2e7 <= cap <= 1.5e9
    return is_small and _atr5(bars) >= 0.05 and turnover > 1e6


def test_scanner_finds_its_watchlist() -> None:
    day = date(2025, 8, 29)
    found = {symbol for symbol in MARKET.symbols(day) if _passes_the_scanner(symbol, day)}
    assert 45 <= len(found & set(RUNNERS)) <= 60
    assert len(found - set(RUNNERS)) <= 25


def test_symbols_trading_at_a_time_are_those_asked_for() -> None:
    assert all(len(MARKET.daily(symbol, START, START)) == 1 for symbol in SYMBOLS)
    assert len(SYMBOLS) == 300


def test_things_happen_within_150_sessions() -> None:
    since = sessions()[first_index(START) - 150].session_date
    splits = [split for split in MARKET.splits() if since <= split.split_date < START]
    profiles = [MARKET.profile(symbol) for symbol in MARKET.symbols()]
    delisted = [p for p in profiles if p.delisted_date and since <= p.delisted_date < START]
    listed = [p for p in profiles if p.ipo_date and since <= p.ipo_date < START]
    assert sum(split.denominator > split.numerator for split in splits) >= 3
    assert sum(split.denominator < split.numerator for split in splits) >= 1
    assert len(delisted) >= 2 and len(listed) >= 2
    assert any(since <= change.change_date < START for change in MARKET.symbol_changes())


def test_split_moves_the_price_by_its_ratio() -> None:
    ratios = []
    for split in MARKET.splits():
        if date(2024, 1, 1) <= split.split_date < START and split.symbol in RUNNERS:
            before = date.fromordinal(split.split_date.toordinal() - 10)
            bars = MARKET.daily(split.symbol, before, split.split_date)
            factor = split.numerator / split.denominator
            ratios.append(bars["open"][-1] / bars["close"][-2] * factor)
    assert 0.85 < np.median(ratios) < 1.2


def _spread(symbol: str) -> float:
    bars = _regular(symbol, _session())
    return float(bidask.edge(*(bars[name] for name in PRICES)))


def test_estimated_spreads_of_runners_are_realistic() -> None:
    spreads = [_spread(symbol) for symbol in RUNNERS[:40]]
    assert 0.003 < np.median(spreads) < 0.009
    assert max(spreads) < 0.02


def test_volume_is_high_at_both_ends_of_the_day() -> None:
    bars = [_regular(symbol, _session(i)) for symbol in SYMBOLS[1:40:20] for i in range(5)]
    minute = [((b["bar_at"] - b["bar_at"][0]) / np.timedelta64(60, "s")).astype(int) for b in bars]
    first, middle, last = (
        np.mean(
            [b["volume"][(m >= lo) & (m < hi)].mean() for b, m in zip(bars, minute, strict=True)]
        )
        for lo, hi in ((0, 20), (180, 220), (370, 390))
    )
    assert first > 2 * middle and last > 1.5 * middle


def test_extended_hours_are_thin() -> None:
    bars = [MARKET.minutes(symbol, START) for symbol in RUNNERS[:20]]
    outside = sum(len(b) for b in bars) - sum(len(_regular(s, _session())) for s in RUNNERS[:20])
    assert 0.02 < outside / (20 * 570) < 0.6


def _break_outs(symbol: str, session: Session) -> list[int]:
    """Return minutes of RTH in which the RePump rule is true, counted plainly and loosely."""
    bars, close_before = _regular(symbol, session), _close_before(symbol, session)
    minute = ((bars["bar_at"] - np.datetime64(session.open_at)) / np.timedelta64(60, "s")).astype(
        int
    )
    found: list[int] = []
    for at in range(1, len(bars)):
        window = bars[(minute >= minute[at] - 30) & (minute < minute[at])]
        if len(window) < 10 or bars["close"][at] / bars["close"][at - 1] < 1.03:
            continue
        base_range = window["high"].max() / window["low"].min() - 1
        run = max(bars["high"][:at].max(), bars["open"][0]) / close_before - 1
        calm = bars["volume"][max(at - 20, 0) : at].mean()
        is_loud = bars["volume"][at] >= 2 * calm
        is_new = not found or minute[at] - found[-1] >= 15
        if base_range <= 0.06 and run >= 0.08 and is_loud and is_new:
            found.append(int(minute[at]))
    return found


@pytest.fixture(scope="module")
def break_outs() -> list[list[tuple[str, int]]]:
    """Per session, the break-outs of the watchlist."""
    days = [_session(offset) for offset in range(6)]
    return [
        [(symbol, minute) for symbol in RUNNERS for minute in _break_outs(symbol, day)]
        for day in days
    ]


def test_every_session_has_break_outs_within_the_hour(
    break_outs: list[list[tuple[str, int]]],
) -> None:
    early = [sum(minute < 60 for _, minute in found) for found in break_outs]
    assert min(early) >= 3


def test_every_session_has_more_break_outs_later(break_outs: list[list[tuple[str, int]]]) -> None:
    assert all(6 <= len(found) <= 25 for found in break_outs)


def _goes_on(symbol: str, session: Session, minute: int) -> bool:
    bars = _regular(symbol, session)
    at = int(
        np.searchsorted(bars["bar_at"], np.datetime64(session.open_at, "us") + minute * 60_000_000)
    )
    entry = bars["open"][at + 1]
    for bar in bars[at + 1 : at + 31]:
        if bar["low"] <= entry * 0.985:
            return False
        if bar["high"] >= entry * 1.04:
            return True
    return False


def test_some_break_outs_go_on_and_more_fail(break_outs: list[list[tuple[str, int]]]) -> None:
    outcomes = [
        _goes_on(symbol, _session(offset), minute)
        for offset, found in enumerate(break_outs)
        for symbol, minute in found
        if minute < 358
    ]
    assert 0.15 < np.mean(outcomes) < 0.6


def test_halts_are_holes_of_five_minutes_with_a_jump() -> None:
    jumps = []
    for symbol in RUNNERS:
        for offset in range(6):
            bars = _regular(symbol, _session(offset))
            if np.median(np.diff(bars["bar_at"])) > np.timedelta64(60, "s") or len(bars) < 300:
                continue
            for one, two in pairwise(bars):
                if two["bar_at"] - one["bar_at"] == np.timedelta64(360, "s"):
                    jumps.append(abs(two["open"] / one["close"] - 1))
    assert jumps and max(jumps) > 0.03


def test_nothing_trades_on_a_holiday() -> None:
    assert len(MARKET.minutes(RUNNERS[0], date(2025, 9, 1))) == 0


def test_minutes_start_at_four_and_end_before_eight() -> None:
    bars = MARKET.minutes(SYMBOLS[1], START)
    assert datetime(2025, 9, 2, 8) <= bars["bar_at"][0].item()
    assert bars["bar_at"][-1].item() < datetime(2025, 9, 3, 0)
