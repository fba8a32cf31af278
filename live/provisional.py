"""Provisional signals: raised while a bar forms, settled once it has closed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from live.messages import Confirmed, Provisional, Retracted, Segment, State, to_text
from live.signals import Entry, cooldown, utc_text

MINUTE = timedelta(minutes=1)
EARLIEST = timedelta(seconds=5)
"""Into its minute; sooner the bar before may still be on its way, and a move would be of two."""
LONGEST_WAIT = timedelta(seconds=90)
"""From a bar's close; one that comes later may be too late to become a signal."""

Key = tuple[str, datetime]
"""Symbol and bar_at."""


@dataclass(frozen=True)
class ProvisionalEvent:
    """A row of raw.provisional_events without provider and landed_at."""

    symbol: str
    session_date: date
    session_segment: Segment
    bar_at: datetime
    event: Literal["provisional", "confirmed", "retracted"]
    state: State
    """As it was raised."""
    price: float | None
    """The bar's close as it stood then."""
    seq: int | None
    """Of the signal that it became."""
    happened_at: datetime

    def as_row(self) -> dict[str, Any]:
        """Return the columns of raw.provisional_events without provider and landed_at."""
        return asdict(self)

    @property
    def text(self) -> str:
        """What clients get."""
        common: dict[str, Any] = {
            "t": utc_text(self.happened_at, milliseconds=True),
            "session": self.session_segment,
            "symbol": self.symbol,
            "state": self.state,
            "price": self.price,
            "bar_at": utc_text(self.bar_at),
        }
        if self.event == "confirmed":
            return to_text(Confirmed(**common, signal_seq=self.seq or 0))
        return to_text((Provisional if self.event == "provisional" else Retracted)(**common))


@dataclass(frozen=True)
class Pending:
    """A provisional signal that is not settled, and what has come of its bar so far."""

    symbol: str
    session_date: date
    session_segment: Segment
    bar_at: datetime
    state: State
    closed_price: float | None
    """None until the bar has come."""
    seq: int | None
    """Of the signal that was made of the bar."""


def may_be_raised(
    forming: Iterable[Key],
    pending: Iterable[Pending],
    last: Mapping[str, datetime],
    cooldown_min: int,
    now: datetime,
) -> set[Key]:
    """Return which forming bars are not silent after a signal, be it one that is still pending."""
    latest = dict(last)
    for raised in pending:
        latest[raised.symbol] = max(raised.bar_at, latest.get(raised.symbol, raised.bar_at))
    due = [(symbol, bar_at) for symbol, bar_at in forming if bar_at + EARLIEST <= now]
    return set(cooldown(due, cooldown_min, latest))


def raise_entry(entry: Entry, now: datetime) -> ProvisionalEvent:
    """Return the provisional signal of a forming bar that passes the rules."""
    return ProvisionalEvent(
        entry.symbol,
        entry.session_date,
        entry.session_segment,
        entry.bar_at,
        "provisional",
        entry.state,
        entry.close,
        None,
        now,
    )


def settle(pending: Iterable[Pending], now: datetime) -> list[ProvisionalEvent]:
    """Return what has become of provisional signals whose bars have closed.

    Every bar that has come must have been evaluated.
    """
    return [_settled(raised, now) for raised in pending if _is_over(raised, now)]


def _is_over(raised: Pending, now: datetime) -> bool:
    has_come = raised.closed_price is not None or raised.seq is not None
    return has_come or now >= raised.bar_at + MINUTE + LONGEST_WAIT


def _settled(raised: Pending, now: datetime) -> ProvisionalEvent:
    return ProvisionalEvent(
        raised.symbol,
        raised.session_date,
        raised.session_segment,
        raised.bar_at,
        "retracted" if raised.seq is None else "confirmed",
        raised.state,
        raised.closed_price,
        raised.seq,
        now,
    )
