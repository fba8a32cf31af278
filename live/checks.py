"""What can be wrong around the service: the disk, the clock, the snapshot, the pace.

Each check returns the reason that the health tells, or None where all is well.
"""

from __future__ import annotations

import errno
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import duckdb
import requests

from ingest.clock import Clock

SECOND = timedelta(seconds=1)
CLOCK_TOLERANCE = timedelta(seconds=3)
"""A clock that is ahead of the provider's by more takes bars for closed that are not."""
MEGABYTE = 1_000_000
NO_ROOM = (
    "Could not write",
    *(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
)
"""What errors of several types quote."""


def low_disk(folder: Path, floor_mb: int) -> str | None:
    """Check that there is room for what the service writes."""
    free_mb = shutil.disk_usage(folder).free // MEGABYTE
    if free_mb >= floor_mb:
        return None
    return (
        f"{free_mb:,} MB are free in DATA_DIR {folder}, less than LIVE_MIN_FREE_MB ({floor_mb:,}): "
        "make room before bars and signals can't be stored any more"
    )


def failed_write(error: BaseException, folder: Path) -> str | None:
    """Tell an error that a disk causes from others."""
    said = " ".join(str(error).split())
    if not any(why in said for why in NO_ROOM):
        return None
    again = "live.duckdb is opened again, " * isinstance(error, duckdb.FatalException)
    return f"writing failed, {again}make room in DATA_DIR {folder}: {said}"


def old_snapshot(published_for: date | None, session_date: date, name: str) -> str | None:
    """Check that the snapshot's newest watchlist is for the session that runs."""
    if published_for is not None and published_for >= session_date:
        return None
    made_for = "no session" if published_for is None else f"the session of {published_for}"
    return (
        f"{name} was made for {made_for}, this is {session_date}: run make ingest and make features"
    )


def slow_tick(real_seconds: float, tick_seconds: float) -> str | None:
    """Check that a tick ends before the next one is due."""
    if real_seconds <= tick_seconds:
        return None
    return (
        f"a tick took {real_seconds:.1f} s, longer than LIVE_TICK_SECONDS ({tick_seconds:g}): "
        "signals are late (repump_stage_seconds in /metrics tells which part is slow)"
    )


def clock_offset(stated: datetime, asked: datetime, answered: datetime) -> timedelta:
    """Return by how much our clock is behind the provider's (ahead: negative), at the least.

    `stated` is the answer's Date, in whole seconds; the other two are by our clock.
    """
    if stated > answered:
        return stated - answered
    return min(stated + SECOND - asked, timedelta(0))


class ClockCheck:
    """Holds the clock against the Date of a provider's answers: a `requests` response hook."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = timedelta(0)

    def see(self, response: requests.Response, *_: object, **__: object) -> None:
        """Take an answer's Date, unless a cache between kept the answer."""
        answered = self._clock.now()
        try:
            stated = parsedate_to_datetime(response.headers.get("Date", ""))
        except ValueError:
            return
        if stated.tzinfo is not None and "Age" not in response.headers:
            stated = stated.astimezone(UTC).replace(tzinfo=None)
            asked = answered - response.elapsed * self._clock.speed
            self._offset = clock_offset(stated, asked, answered)

    @property
    def problem(self) -> str | None:
        """Why the clock is not to be trusted, by the newest answer."""
        if abs(self._offset) <= CLOCK_TOLERANCE:
            return None
        seconds = self._offset.total_seconds()
        way = "behind" if seconds > 0 else "ahead of"
        return (
            f"this machine's clock is {abs(seconds):.0f} s {way} the provider's: set it (NTP), "
            "or bars are taken for closed too early or too late"
        )
