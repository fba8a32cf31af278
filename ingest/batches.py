"""Answers of a provider, landed in batches, and the count of what was done.

Data rows and their lines of raw.fetch_log land in one transaction, so that a job killed at any
point and run again gives the same rows and buys only the batch in flight a second time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import structlog

from ingest.basis import adjusted_bars
from ingest.clock import Clock
from ingest.providers.errors import FetchRecord
from ingest.providers.fmp import Answer
from ingest.transaction import interrupts_held, transaction
from ingest.warehouse import Landing, land, open_warehouse

log = structlog.get_logger("ingest")

BATCH_ANSWERS = 250
BATCH_ROWS = 200_000
BATCH_SECONDS = 15.0
LOCK_SECONDS = 900.0
"""How long paid-for rows wait for another process to release the warehouse."""
ADJUSTED = "prices are not as traded: adjusted for a split, or not this symbol's"


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


@dataclass
class Landed:
    """What landing a batch did: by table, and the answers that were not believed."""

    landings: dict[str, Landing] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def land_answers(
    connection: duckdb.DuckDBPyConnection,
    answers: Sequence[tuple[str | None, Answer]],
    landed_at: datetime,
    provider: str,
) -> Landed:
    """Land (raw table, answer) pairs and their requests' lines in one transaction.

    A failed request has no table, and a line all the same. An answer of adjusted prices does not
    land: its request counts as failed, and is made again next time.
    """
    landed = Landed()
    with transaction(connection):
        for table in dict.fromkeys(table for table, _ in answers if table is not None):
            named = [answer for name, answer in answers if name == table]
            rows = pa.concat_tables([answer.table for answer in named])
            adjusted = adjusted_bars(connection, table, rows, landed_at, provider)
            if adjusted:
                refused = [answer for answer in named if _is_of(answer.request, adjusted)]
                _refuse(connection, table, refused, landed_at, provider)
                landed.refused += [_told(answer.request) for answer in refused]
                rows = pa.concat_tables(
                    [answer.table for answer in named if not _is_of(answer.request, adjusted)]
                    or [rows.slice(0, 0)]
                )
            landed.landings[table] = land(
                connection, table, rows, provider=provider, landed_at=landed_at
            )
        requests = pa.Table.from_pylist([asdict(answer.request) for _, answer in answers])
        land(connection, "fetch_log", requests, provider=provider, landed_at=landed_at)
        if any(landing.rejected for landing in landed.landings.values()):
            _name_requests_of_rejected(connection, requests, landed_at)
    return landed


def _is_of(request: FetchRecord, found: set[tuple[str, date | None]]) -> bool:
    return bool({(request.symbol, request.from_date), (request.symbol, None)} & found)


def _told(request: FetchRecord) -> str:
    return f"{request.symbol} {request.from_date}: {ADJUSTED}, left out"


def _refuse(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    refused: Sequence[Answer],
    landed_at: datetime,
    provider: str,
) -> None:
    lines = []
    for answer in refused:
        request = answer.request
        request.outcome, request.row_count = "error", 0
        row = {"symbol": request.symbol, "from": str(request.from_date), "to": str(request.to_date)}
        lines.append(
            {
                "table_name": table,
                "row_text": json.dumps(row),
                "reason": ADJUSTED,
                "request_id": request.request_id,
            }
        )
    rows = pa.Table.from_pylist(lines)
    land(connection, "rejected_rows", rows, provider=provider, landed_at=landed_at)


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

    def __init__(self, warehouse: Path, clock: Clock, summary: Summary, provider: str) -> None:
        self._warehouse = warehouse
        self._provider = provider
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
            self.tell_rest()
            raise

    def tell_rest(self) -> None:
        """Say at the end of the job which answers did not land."""
        if self._answers:
            self._summary.notes.append(
                f"the last {len(self._answers)} answers did not land: they will be bought again"
            )

    def land(self) -> None:
        """Land all answers in the warehouse, waiting while another process has it open."""
        if self._answers:
            with (
                open_warehouse(self._warehouse, wait_seconds=LOCK_SECONDS) as connection,
                interrupts_held(),
            ):
                landed = land_answers(connection, self._answers, self._clock.now(), self._provider)
                log.info("landed", answers=len(self._answers), rows=self._rows)
                self._answers, self._rows = [], 0
                self._summary.errors += landed.refused
                for table, landing in landed.landings.items():
                    self._summary.count_landing(table, landing)
        self._since = time.monotonic()
