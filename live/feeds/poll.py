"""Polling FMP within a call budget: one-minute bars only for symbols that seem to have traded.

Shortly after each minute ends, one or two batch calls tell whose volume changed; only those are
read. A read brings the symbol's whole day, so it brings revisions of earlier bars too; a symbol
gone quiet is read again 3 and 8 minutes after its newest bar, as fresh bars are revised that long.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ingest.budget import BudgetSpentError, StoppedError
from ingest.clock import Clock
from ingest.providers.errors import FetchRecord, NotInPlanError, ProviderError
from ingest.providers.fmp import PROVIDER, Answer
from live.feeds import EVERY_SYMBOL, Polled
from live.feeds.watch import MINUTE, Watch
from live.sessions import Session

log = logging.getLogger(__name__)

SETTLE = timedelta(seconds=15)
"""How long after a minute's end volumes are still looked at: late prints, late publication."""
BEFORE_MARK = timedelta(seconds=10)
"""How long before a minute's end quotes are fetched, so that its close has a fresh one."""
SPARE_READS = 40
"""Reads per minute beyond one for each symbol. 50 symbols make at most 100 calls a minute."""
TRADES, QUOTES = "batch_quote", "batch_aftermarket_quote"


class Client(Protocol):
    """What the feed needs of ingest.providers.fmp.FmpClient."""

    def minute_bars(
        self, symbol: str, session_date: date, extended: bool = True, *, recheck_first: bool = True
    ) -> Answer:
        """Return the bars of one session."""

    def batch_quote(self, symbols: Sequence[str]) -> Answer:
        """Return each symbol's volume of the regular session so far."""

    def batch_aftermarket_quote(self, symbols: Sequence[str]) -> Answer:
        """Return each symbol's bid, ask and volume of the day so far."""


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
        self.notes: list[str] = []
        self._client = client
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="poll")
        self._on_close = on_close
        self._closed = threading.Event()
        self._calls: deque[datetime] = deque()
        self._not_in_plan: set[str] = set()
        self._failing: dict[str, str] = {}
        self._start(None)

    def _start(self, session: Session | None) -> None:
        self._session = session
        self._looks: dict[str, Future[Answer]] = {}
        self._reads: dict[str, Future[Answer]] = {}
        self._watches: dict[str, Watch] = {}
        self._looked_at: datetime | None = None
        self._paused_to: datetime | None = None

    def close(self) -> None:
        """Stop at once, a running poll too. May be called from any thread."""
        self._closed.set()
        self._on_close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        """Return what may have changed for `symbols` (at first the whole day so far)."""
        if session != self._session:
            self._start(session)
        for symbol in symbols:
            self._watches.setdefault(symbol, Watch())
        minute_end = now.replace(second=0, microsecond=0)
        polled = Polled()
        self._look(symbols, now, minute_end, polled)
        self._read(session, symbols, now, minute_end, polled)
        polled.failures = {
            key: why for key, why in self._failing.items() if key in (*symbols, *_WHOLE)
        }
        return polled

    def _look(
        self, symbols: Sequence[str], now: datetime, minute_end: datetime, polled: Polled
    ) -> None:
        """Ask for volumes and quotes where it is time."""
        assert self._session is not None
        is_new_minute = minute_end != self._looked_at
        after_mark = is_new_minute or now < minute_end + SETTLE
        if not symbols or not (after_mark or now >= minute_end + MINUTE - BEFORE_MARK):
            return
        self._looked_at = minute_end
        wanted: dict[str, Callable[[], Answer]] = {
            QUOTES: lambda: self._client.batch_aftermarket_quote(symbols)
        }
        if after_mark and self._session.segment_at(now) == "RTH":
            wanted[TRADES] = lambda: self._client.batch_quote(symbols)
        for source in self._not_in_plan:
            wanted.pop(source, None)
        for source, answer in self._run(self._looks, wanted, now, polled).items():
            if source == QUOTES:
                quotes = answer.table.drop_columns(["volume"])
                polled.quotes.append(quotes.filter(pc.is_valid(quotes["quoted_at"])))
            if after_mark:
                names, volumes = (answer.table[c].to_pylist() for c in ("symbol", "volume"))
                for symbol, volume in zip(names, volumes, strict=True):
                    if symbol in self._watches:
                        self._watches[symbol].see_volume(source, volume, minute_end)

    def _read(
        self,
        session: Session,
        symbols: Sequence[str],
        now: datetime,
        minute_end: datetime,
        polled: Polled,
    ) -> None:
        """Read the symbols that are due, the most urgent and longest unread first."""
        if now >= minute_end + SETTLE / 3:
            self._see_who_is_unknown(session, symbols, now, minute_end)
        is_paused = self._paused_to is not None and now < self._paused_to
        due = sorted(
            (urgency, self._watches[symbol].read_at or datetime.min, symbol)
            for symbol in symbols
            if symbol not in self._reads
            and (urgency := self._watches[symbol].urgency(minute_end)) is not None
        )
        reads: dict[str, Callable[[], Answer]] = {}
        for urgency, _, symbol in due[: 0 if is_paused else self._allowance(len(symbols), now)]:
            self._watches[symbol].start_read(minute_end)
            reads[symbol] = partial(
                self._client.minute_bars,
                symbol,
                session.session_date,
                recheck_first=urgency != 1,
            )
        self._collect(self._run(self._reads, reads, now, polled), polled)

    def _see_who_is_unknown(
        self, session: Session, symbols: Sequence[str], now: datetime, minute_end: datetime
    ) -> None:
        """Where no source tells a symbol's volume in this segment, have it read once a minute."""
        sources = {QUOTES, TRADES} if session.segment_at(now) == "RTH" else {QUOTES}
        telling = sources - self._not_in_plan - self._failing.keys()
        for symbol in symbols:
            watch = self._watches[symbol]
            if all(watch.volumes.get(source) is None for source in telling):
                watch.see_nothing(minute_end)

    def _allowance(self, symbol_count: int, now: datetime) -> int:
        while self._calls and self._calls[0] <= now - MINUTE:
            self._calls.popleft()
        return max(0, symbol_count + SPARE_READS - len(self._calls))

    def _run(
        self,
        running: dict[str, Future[Answer]],
        wanted: dict[str, Callable[[], Answer]],
        now: datetime,
        polled: Polled,
    ) -> dict[str, Answer]:
        """Make calls, and return the answers that are there in time, earlier calls' too."""
        started = {
            key: self._pool.submit(call)
            for key, call in wanted.items()
            if key not in running and not self._closed.is_set()
        }
        running |= started
        self._calls.extend([now] * len(started))
        self._wait(set(started.values()))
        answers = {}
        for key in [key for key, future in running.items() if future.done()]:
            answer = self._settle(key, running.pop(key), polled)
            if answer is not None:
                answers[key] = answer
        return answers

    def _wait(self, futures: set[Future[Answer]]) -> None:
        waited = 0.0
        while futures and waited < self._patience_seconds and not self._closed.is_set():
            futures = wait(futures, timeout=0.1).not_done
            waited += 0.1

    def _settle(self, key: str, future: Future[Answer], polled: Polled) -> Answer | None:
        """Return a call's answer, or note why there is none."""
        if future.cancelled():
            return None
        try:
            answer = future.result()
        except ProviderError as error:
            if error.request is not None:
                polled.requests.append(_ledger_row(error.request))
            self._note_failure(key, error)
            return None
        except (BudgetSpentError, StoppedError) as error:
            self._failing[EVERY_SYMBOL] = str(error)
            self._paused_to = self._clock.now() + MINUTE
            return None
        self._failing.pop(key, None)
        self._failing.pop(EVERY_SYMBOL, None)
        polled.requests.append(_ledger_row(answer.request))
        return answer

    def _note_failure(self, key: str, error: ProviderError) -> None:
        is_batch = key in (TRADES, QUOTES)
        if is_batch and isinstance(error, NotInPlanError):
            self._not_in_plan.add(key)
            self.notes.append(_NOT_IN_PLAN[key])
            log.warning("%s", _NOT_IN_PLAN[key])
            return
        needs = f"{_MINUTE_BARS_MISSING}: " if isinstance(error, NotInPlanError) else ""
        self._failing[key] = f"{needs}{error}"
        if error.stops_the_job:
            self._failing[EVERY_SYMBOL] = self._failing[key]
            self._paused_to = self._clock.now() + MINUTE
        if not is_batch and key in self._watches:
            self._watches[key].rereads.insert(0, self._clock.now() + MINUTE)

    def _collect(self, answers: dict[str, Answer], polled: Polled) -> None:
        for symbol, answer in answers.items():
            asked_at = answer.request.requested_at
            last = pa.scalar(asked_at - MINUTE, pa.timestamp("us"))
            is_closed = pc.fill_null(pc.less_equal(answer.table["bar_at"], last), True)
            bars = answer.table.filter(is_closed)
            polled.bars.append(bars)
            newest = pc.max(bars["bar_at"]).as_py()
            if symbol in self._watches:
                self._watches[symbol].finish_read(newest, asked_at)


_MINUTE_BARS_MISSING = "no signals without one-minute bars, which need FMP's Premium plan"

_WHOLE = (EVERY_SYMBOL, TRADES, QUOTES)

_NOT_IN_PLAN = {
    TRADES: "batch-quote is not in the FMP plan: every symbol is read every minute instead",
    QUOTES: "aftermarket quotes are not in the FMP plan: spreads are estimated, "
    "and outside regular hours every symbol is read every minute",
}


def _ledger_row(record: FetchRecord) -> dict[str, Any]:
    """Return the raw.fetch_log row of a live request.

    Named apart from the jobs' requests: a read of half a session must not count as having it.
    """
    row = dict(vars(record))
    return {**row, "endpoint": f"live_{record.endpoint}"}
