"""The loop: fetch what may have changed, land it, ask the views, score, store, send."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from time import perf_counter

import duckdb
import pyarrow as pa

from ingest.clock import Clock
from ingest.warehouse import DatabaseLockedError, DatabaseUnusableError, Landing
from live.broadcast import Broadcaster, Message
from live.checks import ClockCheck, failed_write, low_disk, old_snapshot, slow_tick
from live.evaluation import Evaluation, Verdict
from live.feeds import EVERY_SYMBOL, Feed, Polled
from live.flush import flush_day
from live.forming_rows import FormingRows
from live.garbage import collect_in_pause
from live.metrics import Metrics
from live.scoring import Scorer
from live.sessions import Session
from live.signals import Signal
from live.warehouse import LiveWarehouse

log = logging.getLogger(__name__)

SHORTEST_SLEEP = 0.05
SHOWN_FAILURES = 3
INSTANT = timedelta(microseconds=1)
"""The least by which two landings differ."""
STOP_SECONDS = (0.3, 0.5)
"""Real seconds that a running tick gets to end when the service stops, and to be interrupted."""


@dataclass
class Counts:
    """What the loop has done since it started."""

    ticks: int = 0
    failed_ticks: int = 0
    bars: Landing = field(default_factory=Landing)
    requests: int = 0
    signals: int = 0
    late_entries: int = 0
    """Entries seen too late to be sent; they count for the cooldown."""
    provisional: Counter[str] = field(default_factory=Counter)
    """Events of provisional signals, by what they tell."""
    flushes: int = 0


class Monitor:
    """Watches the market for as long as the service runs. `tick` blocks and runs in one thread."""

    def __init__(
        self,
        warehouse: LiveWarehouse,
        feed: Feed,
        clock: Clock,
        broadcaster: Broadcaster,
        scorer: Scorer,
        *,
        warehouse_path: Path,
        tick_seconds: float,
        metrics: Metrics | None = None,
        clock_check: ClockCheck | None = None,
        min_free_mb: int = 0,
        fault: str | None = None,
    ) -> None:
        self.counts = Counts()
        self.session: Session | None = None
        """The session that runs, or the next one."""
        self.is_open = False
        self.watchlist: list[str] = []
        self.problems: dict[str, str] = {}
        """What is wrong with the service now: part and reason."""
        self.failures: dict[str, str] = {}
        """What is wrong with the feed now: symbol or call, and reason."""
        self.started_at = clock.now()
        self._warehouse = warehouse
        self._feed = feed
        self._clock = clock
        self._broadcaster = broadcaster
        self._scorer = scorer
        self._warehouse_path = warehouse_path
        self._tick = timedelta(seconds=tick_seconds)
        self._metrics = metrics or Metrics()
        self._clock_check = clock_check or ClockCheck(clock)
        self._min_free_mb = min_free_mb
        self._set("self_test", fault and f"no signals: {fault}")
        self._evaluation = Evaluation(
            warehouse,
            scorer,
            clock,
            self._metrics,
            tick=self._tick,
            last_seq=broadcaster.last_seq,
            fault=fault,
        )
        self._landed_at = datetime.min
        self._forming: pa.Table | None = None
        """The running minute's bars, as of the newest poll."""
        self._forming_rows = FormingRows(warehouse)
        self._is_lost = False
        """Whether a failed write has closed the database."""
        self._unlanded: Polled | None = None
        """What was polled and could not be landed; nothing more is asked for until it is."""
        self._flushed: set[date] = set()
        self._send: Callable[[Sequence[Signal]], object] = self._publish
        """Where stored signals go."""
        self._stopping = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="monitor")

    def last_signal_at(self, symbol: str) -> datetime | None:
        """Return the bar of a symbol's latest signal of the session, sent or too late to be."""
        return self._evaluation.last.get(symbol)

    @property
    def newest_bar_at(self) -> datetime | None:
        """The session's newest bar."""
        return self._evaluation.newest_bar_at

    async def run(self) -> None:
        """Tick until stopped; what goes wrong in one tick never ends the loop."""
        loop = asyncio.get_running_loop()
        self._send = lambda signals: loop.call_soon_threadsafe(self._publish, signals)
        while not self._stopping.is_set():
            try:
                if self._is_lost:
                    for message in await loop.run_in_executor(self._thread, self._reopen):
                        self._broadcaster.publish(message)
                await loop.run_in_executor(self._thread, self._timed_tick)
                self._set("tick", None)
            except Exception as error:  # whatever it is, the next tick may pass
                if self._stopping.is_set():
                    return
                self.counts.failed_ticks += 1
                self._evaluation.is_warm = False  # what it landed may not have been evaluated
                self._is_lost |= isinstance(error, duckdb.FatalException)
                disk = failed_write(error, self._warehouse_path.parent)
                if disk is None:
                    self._unlanded = None  # it may be at fault
                self._set("tick", disk or as_text(error))
            else:
                await self._tell_provisional()
            pause = self._pause()
            loop.call_later(pause / 2, collect_in_pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    def _publish(self, signals: Sequence[Signal]) -> None:
        for signal in signals:
            self._broadcaster.publish(signal.as_message())

    async def _tell_provisional(self) -> None:
        """Raise and settle provisional signals; what goes wrong there fails no tick."""
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._thread, self.follow_forming)
            self._set("provisional", None)
        except Exception as error:  # whatever it is, signals go on
            if not self._stopping.is_set():
                disk = failed_write(error, self._warehouse_path.parent)
                self._set("provisional", disk or as_text(error))
        for event in self._forming_rows.take_events():
            self._broadcaster.tell(event.symbol, event.state, event.text)
            self.counts.provisional[event.event] += 1

    async def stop(self) -> None:
        """End the loop and the feed; a tick that runs is interrupted."""
        self._stopping.set()
        self._feed.close()
        idle = asyncio.get_running_loop().run_in_executor(self._thread, lambda: None)
        for patience in STOP_SECONDS:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(idle), patience)
                break
            self._warehouse.interrupt()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _reopen(self) -> list[Message]:
        """Open the database anew; return the signals that were stored but not sent before."""
        self._warehouse.reopen()
        self._is_lost = False
        self._evaluation.last_seq = self._warehouse.last_seq()
        return self._warehouse.signals_since(self._broadcaster.last_seq)

    def _pause(self) -> float:
        """Return the real seconds to the clock's next multiple of a tick."""
        passed = (self._clock.now() - datetime.min) % self._tick
        return max((self._tick - passed).total_seconds() / self._clock.speed, SHORTEST_SLEEP)

    def _timed_tick(self) -> list[Signal]:
        was_warm, started = self._evaluation.is_warm, perf_counter()
        with self._metrics.stage("tick"):
            signals = self.tick()
        seconds = perf_counter() - started if was_warm else 0.0
        self._set("slow_tick", slow_tick(seconds, self._tick.total_seconds()))
        return signals

    def tick(self) -> list[Signal]:
        """Do one round; return the signals that it stored and sent."""
        now = self._clock.now()
        self.counts.ticks += 1
        self._forming = None
        self._warehouse.refresh()
        self._scorer.refresh()
        self._set("model", self._scorer.refusal)
        self._set("disk", low_disk(self._warehouse_path.parent, self._min_free_mb))
        self._set("clock", self._clock_check.problem)
        self._follow_sessions(now)
        if self.session is None or not self.is_open or not self.watchlist:
            return []
        landed_at = self._fetch(self.session, now)
        verdict = self._evaluation.evaluate(
            self.session, self.watchlist, now, landed_at, self._feed.provider
        )
        if verdict is not None:
            self._tell(verdict)
        with self._metrics.stage("keep"):
            self._warehouse.keep_books()
        self._evaluation.look_ahead(self.session, self.watchlist, now, self._feed.provider)
        self._evaluation.end_tick(now)
        return verdict.signals if verdict else []

    def follow_forming(self) -> None:
        """Settle and raise provisional signals after a tick; none while no view is evaluated."""
        if self.session is None:
            return
        evaluation = self._evaluation
        with self._metrics.stage("provisional"):
            self._forming_rows.follow(
                self.session.session_date,
                self._forming if evaluation.is_warm and not evaluation.fault else None,
                self._feed.provider,
                evaluation.last,
                self._clock.now(),
            )

    def _set(self, part: str, problem: str | None) -> None:
        if problem is None:
            if self.problems.pop(part, None):
                log.info("%s: works again", part)
        elif self.problems.get(part) != problem:
            self.problems[part] = problem
            log.error("%s: %s", part, problem)

    def _follow_sessions(self, now: datetime) -> None:
        """Begin the session that starts, flush those that have ended, know who is watched."""
        session = self._warehouse.session_at(now)
        if session != self.session:
            self.session, self._unlanded, self.failures = session, None, {}
            self._evaluation.begin()
        self.is_open = session is not None and session.pre_open_at <= now
        self._flush_before(session)
        self._set("calendar", None if session else "no session to come: run make ingest")
        if session is not None:
            self._know_the_day(session)

    def _know_the_day(self, session: Session) -> None:
        rows = self._warehouse.watchlist(session.session_date)
        self.watchlist = [str(row["symbol"]) for row in rows]
        published_for, name = self._warehouse.published_for(), self._warehouse.snapshot
        old = old_snapshot(published_for, session.session_date, name) if self.is_open else None
        self._set("snapshot", old)
        why = f"the snapshot has none for {session.session_date}: run make features"
        self._set("watchlist", why if self.is_open and not rows else None)
        if self.is_open and not self._evaluation.is_warm:
            self._warehouse.forget_before(session.session_date, self._flushed)
            self._evaluation.last = self._warehouse.last_signals(session.session_date)

    def _flush_before(self, session: Session | None) -> None:
        """Flush the days before `session`; where that fails, the next tick tries again."""
        for day in self._warehouse.days():
            if day in self._flushed or (session is not None and day >= session.session_date):
                continue
            try:
                self._forming_rows.settle(day, self._feed.provider, self._clock.now())
                tables = self._warehouse.day_tables(day)
                flush_day(self._warehouse_path, tables, wait_seconds=2.0)
            except (DatabaseLockedError, DatabaseUnusableError) as error:
                self._set("flush", one_line(error))
                return
            self._flushed.add(day)
            self.counts.flushes += 1
            log.info("session %s flushed into the warehouse", day)
        self._set("flush", None)

    def _fetch(self, session: Session, now: datetime) -> datetime:
        """Poll and land; return when it landed."""
        if self._unlanded is None:
            with self._metrics.stage("fetch"):
                self._unlanded = self._feed.poll(session, self.watchlist, now)
        polled, landed_at = self._unlanded, self._landing_at()
        with self._metrics.stage("land"):
            self.counts.bars += self._warehouse.land_poll(polled, self._feed.provider, landed_at)
        self._unlanded, self._forming = None, polled.forming
        self.counts.requests += polled.request_count
        self._metrics.count_requests(self._feed.provider, polled)
        self._tell_failures(polled.failures)
        return landed_at

    def _landing_at(self) -> datetime:
        """Return the time, but never one before the last: the clock may have been set back.

        What was known at an evaluation is told by when it landed.
        """
        self._landed_at = max(self._clock.now(), self._landed_at + INSTANT)
        return self._landed_at

    def _tell_failures(self, failures: dict[str, str]) -> None:
        """Log what fails now and did not before, and what works again, in a few lines at most."""
        new = {key: why for key, why in failures.items() if self.failures.get(key) != why}
        if EVERY_SYMBOL in new:
            log.warning("every symbol: %s", new[EVERY_SYMBOL])
        elif EVERY_SYMBOL not in failures:
            for key in list(new)[:SHOWN_FAILURES]:
                log.warning("%s: %s", key, new[key])
            if len(new) > SHOWN_FAILURES:
                log.warning("and %d more: GET / lists them", len(new) - SHOWN_FAILURES)
        healed = sorted(self.failures.keys() - failures.keys())
        if healed:
            more = f" and {len(healed) - SHOWN_FAILURES} more" * (len(healed) > SHOWN_FAILURES)
            log.info("%s%s: works again", ", ".join(healed[:SHOWN_FAILURES]), more)
        self.failures = failures

    def _tell(self, verdict: Verdict) -> None:
        """Send the signals, now that they are stored."""
        if verdict.signals:
            self._send(verdict.signals)
        self.counts.signals += len(verdict.signals)
        self.counts.late_entries += len(verdict.kept) - len(verdict.signals)


def one_line(error: BaseException) -> str:
    """Return an error's message in one line."""
    return " ".join(str(error).split())


def as_text(error: BaseException) -> str:
    """Return an error's kind and message in one line."""
    return f"{type(error).__name__}: {one_line(error)}"
