"""Polling FMP within a call budget: one-minute bars only for symbols that seem to have traded.

Shortly after each minute ends, one or two batch calls tell whose volume changed; only those are
read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from ingest.clock import Clock
from ingest.providers.fmp import PROVIDER
from live.feeds import EVERY_SYMBOL, Polled
from live.feeds.calls import Calls
from live.feeds.looks import QUOTES, TRADES, BatchQuotes, Looks
from live.feeds.reads import MinuteBars, Reads
from live.feeds.watch import MINUTE
from live.sessions import Session

SETTLE = timedelta(seconds=15)
"""How long after a minute's end volumes are still looked at: late prints, late publication."""
BEFORE_MARK = timedelta(seconds=10)
"""How long before a minute's end quotes are fetched, so that its close has a fresh one."""


class Client(MinuteBars, BatchQuotes, Protocol):
    """What a feed of FMP needs of ingest.providers.fmp.FmpClient."""


class PollFeed:
    """Polls FMP. `patience_seconds` (real) bounds how long a poll waits for slow answers; what is
    later is collected by a later poll."""

    provider = PROVIDER

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        patience_seconds: float = 2.0,
        workers: int = 8,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._calls = Calls(
            clock, patience_seconds=patience_seconds, workers=workers, on_close=on_close
        )
        self._looks = Looks(client, self._calls)
        self._reads = Reads(client, self._calls)
        self._looked_at: datetime | None = None

    @property
    def notes(self) -> Sequence[str]:
        """What the plan lacks."""
        return self._looks.notes

    @property
    def works_at(self) -> datetime | None:
        """When FMP answered last."""
        return self._calls.answered_at

    def stand_by(self) -> None:
        """Cost nothing until polled again: it never does anything by itself."""

    def close(self) -> None:
        """Stop at once, a running poll too. May be called from any thread."""
        self._calls.close()

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        """Return what may have changed for `symbols` (at first the whole day so far)."""
        self._reads.follow(session, symbols)
        minute_end, polled = now.replace(second=0, microsecond=0), Polled()
        segment = session.segment_at(now)
        self._look(segment, symbols, now, minute_end, polled)
        if now >= minute_end + SETTLE / 3:
            sources = {QUOTES, TRADES} if segment == "RTH" else {QUOTES}
            telling = sources - self._looks.not_in_plan - self._calls.failing.keys()
            self._reads.see_nothing_where_unknown(symbols, telling, minute_end)
        self._reads.read(symbols, now, minute_end, polled)
        polled.failures = failures_of(self._calls, symbols)
        return polled

    def _look(
        self,
        segment: str | None,
        symbols: Sequence[str],
        now: datetime,
        minute_end: datetime,
        polled: Polled,
    ) -> None:
        """Ask for volumes and quotes where it is time."""
        is_after_mark = minute_end != self._looked_at or now < minute_end + SETTLE
        if not symbols or not (is_after_mark or is_before_mark(now)):
            return
        self._looked_at = minute_end
        sources = [QUOTES, TRADES] if is_after_mark and segment == "RTH" else [QUOTES]
        for source, volumes in self._looks.look(sources, symbols, now, polled).items():
            if is_after_mark:
                self._reads.see_volumes(source, volumes, minute_end)


def is_before_mark(now: datetime) -> bool:
    """Return whether the minute ends so soon that quotes of now are those of its close."""
    return now + BEFORE_MARK >= now.replace(second=0, microsecond=0) + MINUTE


def failures_of(calls: Calls, symbols: Sequence[str]) -> dict[str, str]:
    """Return what fails of these symbols, or for all of them."""
    shown = {*symbols, EVERY_SYMBOL, TRADES, QUOTES}
    return {key: why for key, why in calls.failing.items() if key in shown}
