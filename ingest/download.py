"""Requests to a provider, many at a time, their answers landed in batches.

The warehouse is open while a batch lands, never while a request is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path

import pyarrow as pa
import structlog

from ingest.batches import Batch, Summary
from ingest.budget import BudgetSpentError, CallBudget, StoppedError
from ingest.clock import Clock
from ingest.providers.errors import BadAnswerError, ProviderError
from ingest.providers.fmp import PROVIDER, Answer
from ingest.transaction import interrupts_held

log = structlog.get_logger("ingest")

GRACE_SECONDS = 10.0
"""How long requests under way may take to end after the job has to stop."""
FAILURES_IN_A_ROW = 25


@dataclass(frozen=True)
class Request:
    """One request to make: what to call it in messages, and which raw table its rows are for."""

    label: str
    table: str
    fetch: Callable[[], Answer]
    endpoint: str = ""
    symbol: str | None = None
    calls: int = 1
    """How many calls it takes, as a rule: some answers come in pages."""


class _Collector:
    """Takes finished requests one by one into a batch and a summary."""

    def __init__(self, batch: Batch, summary: Summary) -> None:
        self._batch = batch
        self._summary = summary
        self._failures = 0

    def take(self, request: Request, future: Future[Answer]) -> None:
        """Keep an answer or a failure. Raises what has to stop the job."""
        try:
            answer = future.result()
        except ProviderError as error:
            self._take_failure(request, error)
            return
        self._failures = 0
        self._summary.count_request(answer.request)
        self._summary.stray += answer.stray
        if answer.note is not None and answer.note not in self._summary.notes:
            self._summary.notes.append(answer.note)
        if answer.request.outcome == "empty":
            self._summary.empty.append(request.label)
        for landing in (answer, *answer.parts):
            self._batch.add(request.table, landing)

    def _take_failure(self, request: Request, error: ProviderError) -> None:
        if error.request is not None:
            self._summary.count_request(error.request)
            self._batch.add(None, Answer(pa.table({}), error.request))
        if error.stops_the_job:
            raise error
        self._failures += 1
        self._summary.errors.append(f"{request.label}: {error}")
        log.warning("request failed", request=request.label, error=str(error))
        if self._failures >= FAILURES_IN_A_ROW:
            raise type(error)(f"{self._failures} requests in a row failed, the last one: {error}")


def download(
    requests: Sequence[Request],
    *,
    warehouse: Path,
    clock: Clock,
    budget: CallBudget,
    workers: int,
    summary: Summary,
    provider: str = PROVIDER,
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Make all `requests` with `workers` threads, land what they give, count it in `summary`.

    A request that fails is noted and does not stop the others. Raises ProviderError or
    BudgetSpentError where the next one would fail too, KeyboardInterrupt on Ctrl-C, each after
    landing what was got; DatabaseLockedError where it could not be landed.
    """
    budget.resume()
    batch = Batch(warehouse, clock, summary, provider)
    collector = _Collector(batch, summary)
    running: dict[Future[Answer], Request] = {}
    pool = ThreadPoolExecutor(workers)
    failed_before = len(summary.errors)
    try:
        for future in _finished(pool, requests, running, workers * 4):
            with interrupts_held():  # an answer is waited for, or in the batch: never between
                collector.take(running.pop(future), future)
            advance()
            if batch.is_due:
                batch.land()
        batch.land()
        if len(summary.errors) - failed_before == len(requests) > 0:
            raise BadAnswerError(f"not one of {len(requests)} requests succeeded: see above")
    except (ProviderError, BudgetSpentError, KeyboardInterrupt):
        budget.stop()
        _take_rest(collector, running)
        batch.land_rest()
        raise
    except BaseException:
        budget.stop()
        batch.tell_rest()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _finished(
    pool: ThreadPoolExecutor,
    requests: Sequence[Request],
    running: dict[Future[Answer], Request],
    window: int,
) -> Iterator[Future[Answer]]:
    """Yield futures as they end, for the caller to take out of `running`.

    At most `window` are under way, so that answers never pile up. The first one goes alone: a
    wrong key or a missing plan costs one call, not a call per thread.
    """
    waiting = iter(requests)
    for width in chain([1], repeat(window)):
        for request in islice(waiting, width - len(running)):
            with interrupts_held():
                running[pool.submit(request.fetch)] = request
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        yield from done


def _take_rest(collector: _Collector, running: dict[Future[Answer], Request]) -> None:
    for future in running:
        future.cancel()
    done, _ = wait(running, timeout=GRACE_SECONDS)
    for future in done:
        try:
            collector.take(running[future], future)
        except (ProviderError, BudgetSpentError, StoppedError, CancelledError):
            continue  # the job is stopping for the first of these already
