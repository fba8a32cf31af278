"""Massive's stream: minute bars as they close, over one WebSocket; what it misses, over REST.

A bar that is sent again, corrected, lands as a revision. With bars of one second the running
minute is known as well (`Polled.forming`); it never lands: the minute's own bar does.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from ingest.clock import Clock
from ingest.providers.massive import PROVIDER
from live.feeds import EVERY_SYMBOL, Polled
from live.feeds.calls import Calls
from live.feeds.connection import Frame, Gap, StreamConnection
from live.feeds.forming import FormingBars
from live.feeds.gap_fill import GapFill, SessionBars
from live.feeds.lag import lag_note
from live.feeds.massive_events import (
    MINUTE_BAR,
    SECOND_BAR,
    Event,
    bars_table,
    events_of,
    starts_at,
    symbol_of,
    topic,
)
from live.feeds.massive_socket import ACKNOWLEDGED, topics_of
from live.feeds.watch import MINUTE
from live.sessions import Session

log = logging.getLogger(__name__)

ACKNOWLEDGE_WITHIN = timedelta(seconds=20)
QUIET_LIMIT = timedelta(minutes=15)
"""How long a stream that is up may be silent outside regular hours."""
NO_QUOTES = "Massive's stream brings no quotes: spreads are estimated"
GOOD_STATUSES = frozenset({"connected", "auth_success", "success"})


class MassiveFeed:
    """Massive's bars. `patience_seconds` (real) bounds how long a poll waits for REST answers."""

    provider = PROVIDER

    def __init__(
        self,
        client: SessionBars,
        connection: StreamConnection,
        clock: Clock,
        *,
        has_seconds: bool = False,
        patience_seconds: float = 2.0,
        workers: int = 8,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.works_at: datetime | None = None
        self.lags: deque[float] = deque(maxlen=500)
        """Seconds from the ends of bars to their arrival, of the newest ones."""
        self._client = client
        self._connection = connection
        self._has_seconds = has_seconds
        self._calls = Calls(
            clock, patience_seconds=patience_seconds, workers=workers, on_close=on_close
        )
        self._session: Session | None = None
        self._symbols: frozenset[str] = frozenset()
        self._topics: frozenset[str] = frozenset()
        self._asked_at: dict[str, datetime] = {}
        """Topics that are not acknowledged yet, and since when they should be."""
        self._heard_at: datetime | None = None
        self._newest: dict[str, datetime] = {}
        self._complaint: str | None = None
        self._bad_frames = 0

    @property
    def notes(self) -> Sequence[str]:
        """What it lacks, how late the bars come, and what could not be read."""
        bad = f"{self._bad_frames} frames of Massive's stream could not be read"
        late = lag_note("Massive's bars", self.lags)
        return [NO_QUOTES, *late, *[bad] * bool(self._bad_frames)]

    def stand_by(self) -> None:
        """Hang up until polled again."""
        self._connection.stop()
        self._session = None

    def close(self) -> None:
        """Stop at once, a running poll too. May be called from any thread."""
        self._connection.stop()
        self._calls.close()

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        """Return the bars that have come for `symbols` (at first the whole day so far)."""
        self._follow(session, symbols, now)
        polled, landing = Polled(), []
        for item in self._connection.take():
            landing += self._hear_gap(item) if isinstance(item, Gap) else self._hear(item, session)
        if landing:
            polled.bars.append(bars_table(landing, session.session_date))
        self._gaps.fill(self._streamed(), now, polled)
        if self._has_seconds:
            whole = [symbol for symbol in symbols if self._gaps.is_whole(symbol)]
            polled.forming = self._forming.table(whole, session.session_date, now)
        self._judge(session, now)
        polled.failures = self._failures(now)
        return polled

    def _follow(self, session: Session, symbols: Sequence[str], now: datetime) -> None:
        """Subscribe to who is watched; bars so far are missing of whoever is new."""
        if session != self._session:
            self._session, self._symbols, self._heard_at = session, frozenset(), None
            self._gaps = GapFill(self._client, self._calls, session.session_date)
            self._forming = FormingBars()
            self._calls.start_over()
            self._calls.failing.clear()
        self._gaps.note(sorted(frozenset(symbols) - self._symbols), now)
        self._symbols = frozenset(symbols)
        topics = topics_of(symbols, has_seconds=self._has_seconds)
        kept = {name: at for name, at in self._asked_at.items() if name in topics}
        self._asked_at = dict.fromkeys(topics - self._topics, now) | kept
        self._topics = topics
        self._connection.keep(topics, session.ends_at)

    def _streamed(self) -> frozenset[str]:
        """Return the symbols whose subscription to minute bars is acknowledged."""
        if self._connection.up_since is None:
            return frozenset()
        if topic(MINUTE_BAR, "*") in self._topics:
            is_streamed = topic(MINUTE_BAR, "*") not in self._asked_at
            return self._symbols if is_streamed else frozenset()
        return frozenset(s for s in self._symbols if topic(MINUTE_BAR, s) not in self._asked_at)

    def _hear_gap(self, gap: Gap) -> list[Event]:
        if gap.is_new_connection:
            self._asked_at = dict.fromkeys(self._topics, gap.at)
            self._complaint = None
        self._gaps.note(sorted(self._symbols), gap.at)
        return []

    def _hear(self, frame: Frame, session: Session) -> list[Event]:
        """Take a frame in; return its minute bars that may land now."""
        try:
            events = events_of(frame.data)
        except ValueError as error:
            self._bad_frames += 1
            log.warning("Massive's stream: %s", error)
            self._gaps.note(sorted(self._symbols), frame.received_at, holds=False)
            return []
        landing = []
        for event in events:
            kind, symbol = event.get("ev"), symbol_of(event)
            if kind == "status":
                self._hear_status(event)
            elif symbol in self._symbols:
                self._heard_at = frame.received_at
                if kind == SECOND_BAR:
                    self._forming.add(event)
                elif kind == MINUTE_BAR and self._is_to_land(event, symbol, frame, session):
                    landing.append(event)
        return landing

    def _is_to_land(self, event: Event, symbol: str, frame: Frame, session: Session) -> bool:
        bar_at = starts_at(event)
        if bar_at is not None:
            if session.segment_at(bar_at) is None:
                return False
            self._forming.close(symbol, bar_at)
            if bar_at > self._newest.get(symbol, datetime.min):  # else it is a correction
                self._newest[symbol] = bar_at
                self.lags.append((frame.received_at - bar_at - MINUTE).total_seconds())
        return not self._gaps.holds_back(symbol, event)

    def _hear_status(self, event: Event) -> None:
        said = str(event.get("message") or "")
        if said.startswith(ACKNOWLEDGED):
            self._asked_at.pop(said.removeprefix(ACKNOWLEDGED).strip(), None)
        elif event.get("status") not in GOOD_STATUSES:
            self._complaint = f"Massive's stream says: {said or event.get('status')}"

    def _judge(self, session: Session, now: datetime) -> None:
        """Decide when it was last known to work; silence is usual outside regular hours."""
        up_since = self._connection.up_since
        quiet_since = max(filter(None, (self._heard_at, up_since)), default=None)
        is_usual = session.segment_at(now) != "RTH"
        if up_since and quiet_since and is_usual and now < quiet_since + QUIET_LIMIT:
            self.works_at = now
        elif self._heard_at is not None:
            self.works_at = self._heard_at

    def _failures(self, now: datetime) -> dict[str, str]:
        failing = self._calls.failing
        failures = {key: why for key, why in failing.items() if key in self._symbols}
        if EVERY_SYMBOL in failing:
            failures[EVERY_SYMBOL] = failing[EVERY_SYMBOL]
        for name, asked_at in self._asked_at.items():
            if self._connection.up_since and now > asked_at + ACKNOWLEDGE_WITHIN:
                key = symbol_of({"sym": name.partition(".")[2]})
                failures[key] = f"Massive has not acknowledged the subscription to {name}"
        if self._complaint:
            failures[EVERY_SYMBOL] = self._complaint
        if self._connection.up_since is None and self._connection.problem:
            failures[EVERY_SYMBOL] = f"Massive's stream: {self._connection.problem}"
        return failures
