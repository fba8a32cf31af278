"""Running queries: each in a process of its own, a few at once, none longer than allowed."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ingest.settings import ROOT
from live.answers import as_utc
from live.prompt.copies import Copies, Copy
from live.signals import utc_text

MOST_AT_ONCE = 2
ANSWER_BYTES = 8 << 20
STARTING_SECONDS = 10.0
"""How long a process may take to start and to end, on a busy machine."""

COMMAND = (sys.executable, "-s", "-E", "-m", "live.prompt.child")
ENVIRONMENT = {"MALLOC_ARENA_MAX": "2"}
"""All that a query's process can see of the environment: no key, no token."""

OUT_OF_TIME = (-signal.SIGALRM, -signal.SIGXCPU, -signal.SIGKILL)


@dataclass(frozen=True)
class SqlQuery:
    """Body of POST /sql."""

    query: str
    """One SELECT or EXPLAIN. The live day is raw.…, marts.…; history is published.marts.…"""
    limit: int = 1_000
    """At most this many rows, up to 10,000."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Values of $names in the query."""
    rows_from: datetime | None = None
    """The live views give the bars from this moment on alone: the same values, far quicker."""


@dataclass(frozen=True)
class SqlColumn:
    """A column of an answer."""

    name: str
    type: str
    """DuckDB's type."""


@dataclass(frozen=True)
class SqlAnswer:
    """Answer of POST /sql."""

    columns: list[SqlColumn]
    truncated: bool
    """Whether there were more rows than `limit`."""
    seconds: float
    rows: list[list[Any]]
    as_of: str
    """When the live day was as the query saw it, UTC."""
    snapshot: str
    """The published snapshot that `published` was."""


class QueryError(Exception):
    """A query has no answer; `status` is HTTP's, the message says why."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint


class Runner:
    """Answers queries on copies of a live database. Belongs to one event loop."""

    def __init__(self, copies: Copies, seconds: float, memory_mb: int) -> None:
        self._copies = copies
        self._seconds = seconds
        self._memory_mb = memory_mb
        self.running = 0
        """Queries that run now."""

    async def answer(self, query: SqlQuery) -> bytes:
        """Return a SqlAnswer as JSON. Raises QueryError; NotFreshError and OSError of the copy."""
        if self.running == MOST_AT_ONCE:
            raise QueryError(
                429, f"{MOST_AT_ONCE} queries run already: ask again when one has ended"
            )
        self.running += 1
        try:
            copy = await asyncio.to_thread(self._copies.take)
            try:
                status, answer = await self._run(self._job(query, copy))
            finally:
                await asyncio.to_thread(self._copies.give_back, copy)
        finally:
            self.running -= 1
        self._check(status, answer)
        as_of = utc_text(copy.as_of_at, milliseconds=True)
        about = json.dumps({"as_of": as_of, "snapshot": copy.published.name})
        return answer[:-1] + b", " + about.encode()[1:]

    def _job(self, query: SqlQuery, copy: Copy) -> bytes:
        rows_from = query.rows_from and as_utc(query.rows_from).isoformat()
        job = {
            "database": str(copy.database), "published": str(copy.published),
            "query": query.query, "parameters": query.parameters, "rows_from": rows_from,
            "limit": query.limit, "seconds": self._seconds, "memory_mb": self._memory_mb,
            "answer_bytes": ANSWER_BYTES,
        }  # fmt: skip
        return json.dumps(job).encode()

    def _check(self, status: int, answer: bytes) -> None:
        """Raise QueryError where a process's exit status or what it wrote is no answer."""
        if answer.startswith(b'{"error"'):
            failure = json.loads(answer)
            code = 413 if failure["reason"] == "size" else 400
            raise QueryError(code, failure["error"], failure["hint"])
        if status in OUT_OF_TIME:
            raise QueryError(504, f"the query took longer than {self._seconds:g} s: ask for less")
        if status or not answer.endswith(b"}"):
            raise QueryError(400, f"the query ended its process (status {status})")

    async def _run(self, job: bytes) -> tuple[int, bytes]:
        """Run a process on a job; return its exit status and what it wrote."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT, env=ENVIRONMENT, start_new_session=True, limit=1 << 20,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._seconds + STARTING_SECONDS):
                answer = await _exchange(process, job)
                return await process.wait(), answer
        except TimeoutError:
            return -signal.SIGKILL, b""
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _exchange(process: asyncio.subprocess.Process, job: bytes) -> bytes:
    """Write a job, read the answer; of one that is larger than any may be, nothing."""
    assert process.stdin and process.stdout
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(job)
        process.stdin.write_eof()
        await process.stdin.drain()
    try:
        await process.stdout.readexactly(2 * ANSWER_BYTES)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    return b""
