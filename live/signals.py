"""Signals: which entries become one, and what is sent. Pure: no clock, no database, no socket."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from live.broadcast import Message
from live.messages import Rules, Segment, SignalMessage, SpreadSource, State, to_text

SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True)
class Entry:
    """A row of marts.states_1m in which the rules are met."""

    symbol: str
    session_date: date
    session_segment: Segment
    bar_at: datetime
    available_at: datetime
    state: State
    close: float
    vwap: float | None
    rvol_1m: float | None
    base_range: float | None
    spread: float | None
    spread_source: SpreadSource | None
    move_prev: float | None


@dataclass(frozen=True)
class Score:
    """What the promoted model says of an entry; all None while none is in use."""

    score: float | None = None
    thr: float | None = None
    model_run: str | None = None


@dataclass(frozen=True)
class Signal:
    """A signal: its row for raw.signals, and the JSON text that clients get."""

    seq: int
    emitted_at: datetime
    entry: Entry
    score: Score
    payload: str

    def as_message(self) -> Message:
        """Return what is handed to the clients."""
        return Message(self.seq, self.entry.symbol, self.entry.state, self.payload)

    def as_row(self) -> dict[str, Any]:
        """Return the columns of raw.signals without provider and landed_at."""
        entry = self.entry
        return {
            "seq": self.seq,
            "emitted_at": self.emitted_at,
            "session_date": entry.session_date,
            "session_segment": entry.session_segment,
            "symbol": entry.symbol,
            "bar_at": entry.bar_at,
            "state": entry.state,
            "price": entry.close,
            "vwap": entry.vwap,
            "rvol_1m": entry.rvol_1m,
            "base_range": entry.base_range,
            "spread": entry.spread,
            "spread_source": entry.spread_source,
            "move_prev": entry.move_prev,
            "score": self.score.score,
            "thr": self.score.thr,
            "model_run": self.score.model_run,
            "payload": self.payload,
        }


def silent_until(signal_at: datetime, cooldown_min: int) -> datetime:
    """Return the earliest bar_at that may be a signal again after one of the bar `signal_at`."""
    return signal_at + timedelta(minutes=cooldown_min)


def cooldown(
    entries: Iterable[tuple[str, datetime]],
    cooldown_min: int,
    last: Mapping[str, datetime],
) -> list[tuple[str, datetime]]:
    """Return the (symbol, bar_at) of `entries` that are signals, in time order, then by symbol.

    After a signal at b its symbol is silent for every bar before b + `cooldown_min` minutes, b
    included. `last` has each symbol's latest signal so far; bars at or before it are silent too, so
    that evaluating a bar again changes nothing. marts.entries_1m does the same in SQL.
    """
    latest = dict(last)
    signals = []
    for symbol, bar_at in sorted(set(entries), key=lambda entry: (entry[1], entry[0])):
        before = latest.get(symbol)
        if before is not None and (bar_at <= before or bar_at < silent_until(before, cooldown_min)):
            continue
        latest[symbol] = bar_at
        signals.append((symbol, bar_at))
    return signals


def make_signal(
    entry: Entry, rules: Rules, score: Score, *, seq: int, emitted_at: datetime
) -> Signal:
    """Return the signal of `entry` with its payload as JSON text."""
    message = build_message(entry, rules, score, seq, emitted_at)
    return Signal(seq, emitted_at, entry, score, to_text(message))


def build_message(
    entry: Entry, rules: Rules, score: Score, seq: int, emitted_at: datetime
) -> SignalMessage:
    """Return what clients get; `*_pct` are percent."""
    return SignalMessage(
        t=utc_text(emitted_at, milliseconds=True),
        session=entry.session_segment,
        symbol=entry.symbol,
        state=entry.state,
        price=entry.close,
        vwap=None if entry.vwap is None else round(entry.vwap, 4),
        rvol_1m=significant(entry.rvol_1m),
        base_range_pct=percent(entry.base_range),
        spread_pct=percent(entry.spread),
        move_pct=percent(entry.move_prev),
        score=significant(score.score),
        thr=significant(score.thr),
        rules_used=rules,
        seq=seq,
        bar_at=utc_text(entry.bar_at),
        spread_source=entry.spread_source,
        model_run=score.model_run,
    )


def utc_text(at: datetime, *, milliseconds: bool = False) -> str:
    """Return a naive UTC time as ISO text with a Z."""
    return at.isoformat(timespec="milliseconds" if milliseconds else "seconds") + "Z"


def percent(ratio: float | None) -> float | None:
    """Return a plain fraction as percent, to four significant digits."""
    return None if ratio is None else significant(ratio * 100)


def significant(value: float | None) -> float | None:
    """Return `value` to four significant digits; what is not finite is null."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
