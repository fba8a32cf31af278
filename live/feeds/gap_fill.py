"""What a stream did not send is asked for over REST: after a break, and at the start of a day.

Until the answer is there, the symbol's new bars are held back for a while: features over a day
with a hole in it are not the day's features.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import Protocol

from ingest.providers.fmp import Answer
from live.feeds import Polled
from live.feeds.calls import Calls
from live.feeds.massive_events import Event, bars_table
from live.feeds.reads import closed_bars
from live.feeds.watch import MINUTE

HOLD_FOR = timedelta(minutes=3)
"""How long new bars wait for those before them; later they land without."""
AGAIN_AFTER = timedelta(minutes=2)
"""When a gap is asked for once more: its last minute may not have been published yet."""
MOST_AT_ONCE = 64
GAPS = "gaps"


class SessionBars(Protocol):
    """What is needed of ingest.providers.massive.MassiveClient."""

    def session_bars(self, symbol: str, session_date: date) -> Answer:
        """Return raw.bars_1m rows of one session so far."""


@dataclass
class SymbolGap:
    """A symbol whose bars before `at` may be missing."""

    at: datetime
    due_at: datetime
    is_held: bool
    is_asked_again: bool = False
    events: list[Event] = field(default_factory=list)
    """Its bars since then."""


class GapFill:
    """The symbols of one session that lack bars, and what has come of them since."""

    def __init__(self, client: SessionBars, calls: Calls, session_date: date) -> None:
        self._client = client
        self._calls = calls
        self._session_date = session_date
        self._gaps: dict[str, SymbolGap] = {}

    def note(self, symbols: Iterable[str], at: datetime, *, holds: bool = True) -> None:
        """Note that bars of `symbols` before `at` may be missing."""
        for symbol in symbols:
            known = self._gaps.get(symbol)
            events = known.events if known else []
            is_held = holds or (known is not None and known.is_held)
            self._gaps[symbol] = SymbolGap(at, at, is_held, events=events)

    def holds_back(self, symbol: str, event: Event) -> bool:
        """Keep a streamed bar of a symbol with a gap; return whether it must not land yet."""
        gap = self._gaps.get(symbol)
        if gap is None:
            return False
        gap.events.append(event)
        return gap.is_held

    def is_whole(self, symbol: str) -> bool:
        """Return whether no bars of a symbol wait for those before them."""
        gap = self._gaps.get(symbol)
        return gap is None or not gap.is_held

    def fill(self, ready: Collection[str], now: datetime, polled: Polled) -> None:
        """Ask for the gaps of the symbols that are streamed again; hand over what has come."""
        done = self._calls.run(
            GAPS,
            {
                symbol: partial(self._client.session_bars, symbol, self._session_date)
                for symbol in self._due(ready, now)
            },
            now,
            polled,
        )
        for symbol, error in done.errors.items():
            self._calls.note_failure(symbol, error, "bars are missing: ")
            if symbol in self._gaps:
                self._gaps[symbol].due_at = now + MINUTE
        for symbol, answer in done.answers.items():
            self._close(symbol, answer, now, polled)
        self._release(now, polled)

    def _due(self, ready: Collection[str], now: datetime) -> list[str]:
        if self._calls.is_paused(now):
            return []
        running = sum(self._calls.is_running(GAPS, symbol) for symbol in self._gaps)
        due = [
            symbol
            for symbol, gap in self._gaps.items()
            if gap.due_at <= now and symbol in ready and not self._calls.is_running(GAPS, symbol)
        ]
        return due[: max(0, MOST_AT_ONCE - running)]

    def _close(self, symbol: str, answer: Answer, now: datetime, polled: Polled) -> None:
        """Hand over an answer, and after it the streamed bars, which are newer than it."""
        polled.bars.append(closed_bars(answer))
        gap = self._gaps.get(symbol)
        if gap is None or answer.request.requested_at < gap.at:
            return  # it was asked for before the newest gap: that one is still open
        polled.bars.append(bars_table(gap.events, self._session_date))
        if gap.is_asked_again:
            del self._gaps[symbol]
        else:
            self._gaps[symbol] = SymbolGap(gap.at, now + AGAIN_AFTER, False, is_asked_again=True)

    def _release(self, now: datetime, polled: Polled) -> None:
        for symbol, gap in self._gaps.items():
            if gap.is_held and now > gap.at + HOLD_FOR:
                gap.is_held = False
                polled.bars.append(bars_table(gap.events, self._session_date))
                missing = f"bars before {gap.at:%H:%M:%S} UTC are missing: they are not filled in"
                self._calls.failing.setdefault(symbol, missing)
