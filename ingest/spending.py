"""What was spent of a plan: one small SQLite file that all processes of a data directory share.

A call is written here before it is made, so a process that is killed still counts. Times are
milliseconds of the market's clock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

from pyrate_limiter import Rate, RateItem, SQLiteBucket

HOUR = 3_600_000
FOREIGN = 5_000
"""Entries that are more than this ahead of the clock are of another market, and forgotten."""

SCHEMA = """
create table if not exists calls (name varchar, item_timestamp integer);
create index if not exists calls_by_time on calls (item_timestamp);
create table if not exists received (hour_at integer primary key, byte_count integer not null);
create table if not exists holds (until_at integer not null);
"""


class SpendingError(RuntimeError):
    """The file of what was spent can't be used; the message says what to do."""


class Spending:
    """Calls and bytes spent, in the file at `path`, or in memory without one. Threads may share it.

    `rates` are the plan's limits of calls. Raises SpendingError where the file can't be used.
    """

    def __init__(self, rates: Sequence[Rate], path: Path | None = None) -> None:
        self._path = path
        self._lock = RLock()
        with self._told():
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                str(path or ":memory:"), timeout=60, isolation_level=None, check_same_thread=False
            )
            # killed processes lose nothing in these modes; only a power cut may
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = off")
            self._connection.executescript(SCHEMA)
        self._bucket = SQLiteBucket(list(rates), self._connection, "calls")
        self._longest = max(int(rate.interval) for rate in rates)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise SpendingError(
                f"{self._path} can't be used: check the disk and the permissions, or remove the "
                f"file, and the ledger alone counts ({error})"
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the file against every other thread and process."""
        with self._lock, self._told():
            self._connection.execute("begin immediate")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("commit")

    def take_over(
        self, calls: Iterable[tuple[int, int]], received: Iterable[tuple[int, int]]
    ) -> None:
        """Fill an empty file with (time, number of calls) and (time, bytes) of the ledger."""
        with self._alone():
            known = self._connection.execute(
                "select exists (select 1 from calls) or exists (select 1 from received)"
            ).fetchone()
            if known[0]:
                return
            for at, count in calls:
                self._connection.executemany(
                    "insert into calls values ('call', ?)", [(at,)] * count
                )
            for at, byte_count in received:
                self._add_bytes(at, byte_count)

    def take_call(self, read_clock: Callable[[], int]) -> int:
        """Count one call and return 0, or return after how many ms there is room for it.

        The clock is read when it is this call's turn, so that no entry is ahead of it.
        """
        with self._alone():
            now = read_clock()
            self._forget(now)
            row = self._connection.execute("select max(until_at) from holds").fetchone()
            if row[0] is not None and row[0] > now:
                return int(row[0]) - now
            call = RateItem("call", now)
            if self._bucket.put(call):
                return 0
            waiting = self._bucket.waiting(call)
            assert isinstance(waiting, int)
            return max(waiting, 1)

    def _forget(self, now: int) -> None:
        self._connection.execute(
            "delete from calls where item_timestamp < ? or item_timestamp > ?",
            (now - self._longest, now + FOREIGN),
        )
        self._connection.execute("delete from received where hour_at > ?", (now + HOUR,))

    def hold_until(self, at: int, now: int) -> None:
        """Let no call through before `at`: the provider asked everyone to wait."""
        with self._alone():
            self._connection.execute(
                "delete from holds where until_at <= ? or until_at > ?", (now, now + HOUR)
            )
            self._connection.execute("insert into holds values (?)", (at,))

    def add_bytes(self, at: int, byte_count: int) -> None:
        """Count bytes received at `at`."""
        with self._alone():
            self._add_bytes(at, byte_count)

    def _add_bytes(self, at: int, byte_count: int) -> None:
        self._connection.execute(
            "insert into received values (?, ?) on conflict (hour_at) "
            "do update set byte_count = byte_count + excluded.byte_count",
            (at - at % HOUR, byte_count),
        )

    def calls_since(self, at: int) -> int:
        """Return the number of calls after `at`."""
        with self._alone():
            row = self._connection.execute(
                "select count(*) from calls where item_timestamp > ?", (at,)
            ).fetchone()
        return int(row[0])

    def bytes_by_hour(self, since: int) -> list[tuple[int, int]]:
        """Return (hour's start, bytes) of the hours that end after `since`, oldest first."""
        with self._lock, self._told():
            return self._connection.execute(
                "select hour_at, byte_count from received where hour_at + ? > ? order by hour_at",
                (HOUR, since),
            ).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
