"""Requests to a provider, many at a time, landed in batches.

Data rows and their lines of raw.fetch_log land in one transaction, so that a job killed at any
point and run again gives the same rows and buys only the batch in flight a second time. The
warehouse is open while a batch lands, never while a request is under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import chain, islice, repeat
from pathlib import Path

import duckdb
import pyarrow as pa

from ingest.budget import BudgetSpentError, CallBudget, StoppedError
from ingest.clock import Clock
from ingest.providers.errors import BadAnswerError, FetchRecord, ProviderError
from ingest.providers.fmp import PROVIDER, Answer
from ingest.transaction import interrupts_held, transaction
from ingest.warehouse import Landing, land, open_warehouse

BATCH_ANSWERS = 250
BATCH_ROWS = 200_000
BATCH_SECONDS = 15.0
LOCK_SECONDS = 900.0
"""How long paid-for rows wait for another process to release the warehouse."""
GRACE_SECONDS = 10.0
"""How long requests under way may take to end after the job has to stop."""
FAILURES_IN_A_ROW = 25


@dataclass(frozen=True)
class Request:
    """One request to make: which raw table its rows are for, and what to call it in messages."""

    label: str
    table: str
    fetch: Callable[[], Answer]


@dataclass
class Summary:
    """What a job did."""

    landings: dict[str, Landing] = field(default_factory=dict)
    requests: int = 0
    calls: int = 0
    byte_count: int = 0
    stray: int = 0
    empty: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def count_landing(self, table: str, landing: Landing) -> None:
        """Add what landed in `table`."""
        self.landings[table] = self.landings.get(table, Landing()) + landing

    def count_request(self, request: FetchRecord) -> None:
        """Add what one request cost."""
        self.requests += 1
        self.calls += request.attempts
        self.byte_count += request.byte_count


def land_answers(
    connection: duckdb.DuckDBPyConnection,
    answers: Sequence[tuple[str | None, Answer]],
    landed_at: datetime,
) -> dict[str, Landing]:
    """Land (raw table, answer) pairs and their requests' lines in one transaction.

    A failed request has no table, and a line all the same.
    """
    landings: dict[str, Landing] = {}
    with transaction(connection):
        for table in dict.fromkeys(table for table, _ in answers if table is not None):
            rows = pa.concat_tables([answer.table for name, answer in answers if name == table])
            landings[table] = land(connection, table, rows, provider=PROVIDER, landed_at=landed_at)
        requests = pa.Table.from_pylist([asdict(answer.request) for _, answer in answers])
        land(connection, "fetch_log", requests, provider=PROVIDER, landed_at=landed_at)
        if any(landing.rejected for landing in landings.values()):
            _name_requests_of_rejected(connection, requests, landed_at)
    return landings


def _name_requests_of_rejected(
    connection: duckdb.DuckDBPyConnection, requests: pa.Table, landed_at: datetime
) -> None:
    connection.register("landed_requests", requests)
    connection.execute(
        """
        update raw.rejected_rows as rejected set request_id = landed_requests.request_id
        from landed_requests
        where
            rejected.request_id is null
            and rejected.landed_at = $landed_at
            and rejected.table_name = landed_requests.endpoint
            and rejected.row_text ->> '$.symbol' = landed_requests.symbol
            and coalesce(
                try_cast(rejected.row_text ->> '$.session_date' as date)
                between landed_requests.from_date and landed_requests.to_date,
                true
            )
        """,
        {"landed_at": landed_at},
    )
    connection.unregister("landed_requests")


class Batch:
    """Answers that were got and have not landed yet."""

    def __init__(self, warehouse: Path, clock: Clock, summary: Summary) -> None:
        self._warehouse = warehouse
        self._clock = clock
        self._summary = summary
        self._answers: list[tuple[str | None, Answer]] = []
        self._rows = 0
        self._since = time.monotonic()

    def add(self, table: str | None, answer: Answer) -> None:
        """Keep an answer for the next landing."""
        self._answers.append((table, answer))
        self._rows += answer.table.num_rows

    @property
    def is_due(self) -> bool:
        """Whether the batch is large or old enough to land."""
        return bool(self._answers) and (
            len(self._answers) >= BATCH_ANSWERS
            or self._rows >= BATCH_ROWS
            or time.monotonic() - self._since >= BATCH_SECONDS
        )

    def land_rest(self) -> None:
        """Land all answers at the end of a job that has to stop; say so where that fails."""
        try:
            self.land()
        except BaseException:
            if self._answers:
                self._summary.notes.append(
                    f"the last {len(self._answers)} answers did not land: they will be bought again"
                )
            raise

    def land(self) -> None:
        """Land all answers in the warehouse, waiting while another process has it open."""
        if self._answers:
            with (
                open_warehouse(self._warehouse, wait_seconds=LOCK_SECONDS) as connection,
                interrupts_held(),
            ):
                landings = land_answers(connection, self._answers, self._clock.now())
                self._answers, self._rows = [], 0
                for table, landing in landings.items():
                    self._summary.count_landing(table, landing)
        self._since = time.monotonic()


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
        self._batch.add(request.table, answer)

    def _take_failure(self, request: Request, error: ProviderError) -> None:
        if error.request is not None:
            self._summary.count_request(error.request)
            self._batch.add(None, Answer(pa.table({}), error.request))
        if error.stops_the_job:
            raise error
        self._failures += 1
        self._summary.errors.append(f"{request.label}: {error}")
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
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Make all `requests` with `workers` threads, land what they give, count it in `summary`.

    A request that fails is noted and does not stop the others. Raises ProviderError or
    BudgetSpentError where the next one would fail too, KeyboardInterrupt on Ctrl-C, each after
    landing what was got; DatabaseLockedError where it could not be landed.
    """
    budget.resume()
    batch = Batch(warehouse, clock, summary)
    collector = _Collector(batch, summary)
    running: dict[Future[Answer], Request] = {}
    pool = ThreadPoolExecutor(workers)
    failed_before = len(summary.errors)
    try:
        for request, future in _finished(pool, requests, running, workers * 4):
            collector.take(request, future)
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
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _finished(
    pool: ThreadPoolExecutor,
    requests: Sequence[Request],
    running: dict[Future[Answer], Request],
    window: int,
) -> Iterator[tuple[Request, Future[Answer]]]:
    """Yield requests as they end; at most `window` are under way, so answers never pile up.

    The first one goes alone: a wrong key or a missing plan costs one call, not a call per thread.
    """
    waiting = iter(requests)
    for width in chain([1], repeat(window)):
        for request in islice(waiting, width - len(running)):
            running[pool.submit(request.fetch)] = request
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield running.pop(future), future


def _take_rest(collector: _Collector, running: dict[Future[Answer], Request]) -> None:
    for future in running:
        future.cancel()
    done, _ = wait(running, timeout=GRACE_SECONDS)
    for future in done:
        try:
            collector.take(running[future], future)
        except (ProviderError, BudgetSpentError, StoppedError, CancelledError):
            continue  # the job is stopping for the first of these already
