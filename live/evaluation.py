"""What the views say of new bars, and which of it becomes a signal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from ingest.clock import Clock
from live.live_tables import MINUTE
from live.messages import Rules
from live.metrics import Metrics
from live.scoring import Scorer
from live.sessions import Session
from live.signals import Entry, Signal, cooldown, make_signal
from live.warehouse import LiveWarehouse, to_entries

FRESH_FOR = timedelta(minutes=2)

Key = tuple[str, datetime]
"""The symbol and bar_at of an entry."""


@dataclass(frozen=True)
class Verdict:
    """What new bars led to."""

    signals: list[Signal]
    kept: list[Key]
    """The entries that the cooldown lets pass; those that are no signals came too late."""


class Evaluation:
    """Evaluates a session's bars as they land. Belongs to the one thread that writes."""

    def __init__(
        self,
        warehouse: LiveWarehouse,
        scorer: Scorer,
        clock: Clock,
        metrics: Metrics,
        *,
        tick: timedelta,
        last_seq: int,
        fault: str | None,
    ) -> None:
        self.is_warm = False
        """Whether all bars of the session so far have been evaluated."""
        self.newest_bar_at: datetime | None = None
        self.last: dict[str, datetime] = {}
        """Each symbol's latest signal of the session, sent or too late to be: its bar_at."""
        self.last_seq = last_seq
        self.fault = fault
        """Why no signals may be made of what the views give."""
        self._warehouse = warehouse
        self._scorer = scorer
        self._clock = clock
        self._metrics = metrics
        self._tick = tick
        self._tick_starts: list[datetime] = []

    def begin(self) -> None:
        """Begin with another session."""
        self.is_warm, self.newest_bar_at, self._tick_starts = False, None, []

    def evaluate(
        self,
        session: Session,
        symbols: list[str],
        now: datetime,
        landed_at: datetime,
        provider: str,
    ) -> Verdict | None:
        """Ask the views about the bars that are new; store what becomes a signal.

        None where no bar is new. What is stored is on disk when this returns.
        """
        since, newest = self._warehouse.changes(session.session_date, landed_at)
        self.newest_bar_at = newest
        self.is_warm |= newest is None  # there is nothing to warm up with
        if newest is None or self.fault or (since is None and self.is_warm):
            return None
        with self._warehouse.transaction():
            with self._metrics.stage("views"):
                rows = self._ask(session, symbols, since, newest, landed_at, provider)
            verdict = self._judge(rows, now)
            if verdict.signals:
                with self._metrics.stage("store"):
                    self._warehouse.store_signals(verdict.signals, provider, landed_at)
        if verdict.signals:
            self.last_seq = verdict.signals[-1].seq
        self.last |= dict(verdict.kept)
        self.is_warm = True
        return verdict

    def look_ahead(
        self, session: Session, symbols: list[str], now: datetime, provider: str
    ) -> None:
        """Prepare for the bars of the coming minute, which the next evaluation asks about."""
        if not self.is_warm or self.fault:
            return
        minute = now.replace(second=0, microsecond=0)
        if self.newest_bar_at is not None:
            minute = max(minute, self.newest_bar_at + MINUTE)
        with self._metrics.stage("prepare"):
            self._warehouse.prepare(session.session_date, symbols, minute, provider)

    def end_tick(self, started_at: datetime) -> None:
        """Know when the last two ticks began: what was new since then is not too late."""
        self._tick_starts = [*self._tick_starts[-1:], started_at]

    def _ask(
        self,
        session: Session,
        symbols: list[str],
        since: datetime | None,
        newest: datetime,
        landed_at: datetime,
        provider: str,
    ) -> pa.Table:
        """Return the entries among the bars from `since` to the newest.

        At first all bars of the session so far are asked about: entries before the start are too
        old to be sent but count for the cooldown, as they do offline.
        """
        if since is None or not self.is_warm:
            self._warehouse.remake_live_tables()
            since = session.pre_open_at
        return self._warehouse.serve(
            session.session_date, symbols, since, newest, landed_at, provider
        )

    def _judge(self, rows: pa.Table, now: datetime) -> Verdict:
        """Return which entries the cooldown lets pass, and the signals among them."""
        with self._metrics.stage("rules"):
            entries = {(entry.symbol, entry.bar_at): entry for entry in to_entries(rows)}
            rules = self._warehouse.rules()
            kept = cooldown(entries, rules.cooldown_min, self.last)
            fresh_since = self._fresh_since(now)
            fresh = [key for key in kept if entries[key].available_at >= fresh_since]
        with self._metrics.stage("score"):
            return Verdict(self._to_signals(fresh, entries, rows, rules), kept)

    def _fresh_since(self, now: datetime) -> datetime:
        """Return the earliest available_at of a bar that may still be sent."""
        return min([now - max(FRESH_FOR, 2 * self._tick), *self._tick_starts])

    def _to_signals(
        self, keys: list[Key], entries: dict[Key, Entry], rows: pa.Table, rules: Rules
    ) -> list[Signal]:
        if not keys:
            return []
        places = {key: place for place, key in enumerate(entries)}
        scores = self._scorer.score(rows.take([places[key] for key in keys]))
        emitted_at = self._clock.now()
        return [
            make_signal(
                entries[key], rules, score, seq=self.last_seq + number, emitted_at=emitted_at
            )
            for number, (key, score) in enumerate(zip(keys, scores, strict=True), start=1)
        ]
