"""Calls to a provider from threads: none of them stops a poll, and what fails is remembered."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ingest.budget import BudgetSpentError, StoppedError
from ingest.clock import Clock
from ingest.providers.errors import FetchRecord, ProviderError
from ingest.providers.fmp import Answer
from live.feeds import EVERY_SYMBOL, Polled
from live.feeds.watch import MINUTE


@dataclass
class Done:
    """Calls that have ended, by their keys."""

    answers: dict[str, Answer] = field(default_factory=dict)
    errors: dict[str, ProviderError] = field(default_factory=dict)


class Calls:
    """Makes calls for one feed. `patience_seconds` (real) bounds how long slow answers are waited
    for; what is later is collected by a later round."""

    def __init__(
        self,
        clock: Clock,
        *,
        patience_seconds: float = 2.0,
        workers: int = 8,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.failing: dict[str, str] = {}
        """Key (or EVERY_SYMBOL) and reason of what failed and still does."""
        self.answered_at: datetime | None = None
        """When the provider answered last."""
        self._paused_to: datetime | None = None
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="calls")
        self._on_close = on_close
        self._closed = threading.Event()
        self._made: deque[datetime] = deque()
        self._running: defaultdict[str, dict[str, Future[Answer]]] = defaultdict(dict)
        """By group and key."""

    def start_over(self) -> None:
        """Forget the calls that run: their answers are of another session."""
        self._running.clear()
        self._paused_to = None

    def close(self) -> None:
        """Stop at once. May be called from any thread."""
        self._closed.set()
        self._on_close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def is_paused(self, now: datetime) -> bool:
        """Return whether the next call would fail as the last one did."""
        return self._paused_to is not None and now < self._paused_to

    def is_running(self, group: str, key: str) -> bool:
        """Return whether this call has not ended yet."""
        return key in self._running[group]

    def made_in_last_minute(self, now: datetime) -> int:
        """Return the number of calls made in the minute before `now`."""
        while self._made and self._made[0] <= now - MINUTE:
            self._made.popleft()
        return len(self._made)

    def run(
        self, group: str, wanted: Mapping[str, Callable[[], Answer]], now: datetime, polled: Polled
    ) -> Done:
        """Make calls; return which of the group have ended in time, earlier ones too."""
        running, known = self._running[group], len(polled.requests)
        started = {
            key: self._pool.submit(call)
            for key, call in wanted.items()
            if key not in running and not self._closed.is_set()
        }
        running |= started
        self._made.extend([now] * len(started))
        self._wait(set(started.values()))
        done = Done()
        for key in [key for key, future in running.items() if future.done()]:
            self._settle(key, running.pop(key), polled, done)
        again = sum(max(0, request["attempts"] - 1) for request in polled.requests[known:])
        self._made.extend([now] * again)
        return done

    def _wait(self, futures: set[Future[Answer]]) -> None:
        waited = 0.0
        while futures and waited < self._patience_seconds and not self._closed.is_set():
            futures = wait(futures, timeout=0.1).not_done
            waited += 0.1

    def _settle(self, key: str, future: Future[Answer], polled: Polled, done: Done) -> None:
        if future.cancelled():
            return
        try:
            answer = future.result()
        except ProviderError as error:
            if error.request is not None:
                polled.requests.append(_ledger_row(error.request))
            done.errors[key] = error
        except (BudgetSpentError, StoppedError) as error:
            self.failing[EVERY_SYMBOL] = str(error)
            self._paused_to = self._clock.now() + MINUTE
        else:
            self.failing.pop(key, None)
            self.failing.pop(EVERY_SYMBOL, None)
            self.answered_at = self._clock.now()
            polled.requests.append(_ledger_row(answer.request))
            done.answers[key] = answer

    def note_failure(self, key: str, error: ProviderError, why: str = "") -> None:
        """Remember what failed; where every call would fail so, make none for a minute."""
        self.failing[key] = f"{why}{error}"
        if error.stops_the_job:
            self.failing[EVERY_SYMBOL] = self.failing[key]
            self._paused_to = self._clock.now() + MINUTE


def _ledger_row(record: FetchRecord) -> dict[str, Any]:
    """Return the raw.fetch_log row of a live request.

    Named apart from the jobs' requests: a read of half a session must not count as having it.
    """
    row = dict(vars(record))
    return {**row, "endpoint": f"live_{record.endpoint}"}
