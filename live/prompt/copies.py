"""Copies of live.duckdb for queries: one at a time is kept, made anew once the day has changed."""

from __future__ import annotations

import shutil
import tempfile
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ingest.clock import Clock
from live.warehouse import LiveWarehouse


@dataclass
class Copy:
    """A copy that queries read; nothing changes it."""

    folder: Path
    version: int
    published: Path
    as_of_at: datetime
    readers: int = 0

    @property
    def database(self) -> Path:
        """The copied file, with the name that the views know the database by."""
        return self.folder / "live.duckdb"

    def is_of(self, warehouse: LiveWarehouse) -> bool:
        """Return whether live.duckdb and its snapshot are still the same."""
        return (self.version, self.published) == (warehouse.version, warehouse.snapshot_path)


class Copies:
    """The copies of a live database, in a folder of their own. Any thread may ask for one.

    Copying the file beats every export: 5 ms against 27 for 50 symbols, 0.2 s against 0.5 to 1.7
    for 8,000 (Arrow, Parquet, COPY FROM DATABASE), and the views come with it.
    """

    def __init__(self, warehouse: LiveWarehouse, clock: Clock, folder: Path) -> None:
        self._warehouse = warehouse
        self._clock = clock
        self._folder = folder
        self._newest: Copy | None = None
        self._lock = threading.Lock()
        self.close()

    def take(self) -> Copy:
        """Return a copy of the database as it is now; it stays until it is given back.

        Raises NotFreshError, and OSError where it can't be written.
        """
        with self._lock:
            copy = self._newest
            if copy is None or not copy.is_of(self._warehouse):
                copy = self._renewed()
            copy.readers += 1
            return copy

    def give_back(self, copy: Copy) -> None:
        """Say that one reader is done with a copy."""
        with self._lock:
            copy.readers -= 1
            self._drop(copy)

    def close(self) -> None:
        """Delete every copy; who reads one still has it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _renewed(self) -> Copy:
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        at, published = self._clock.now(), self._warehouse.snapshot_path
        try:
            version = self._warehouse.copy_to(folder / "live.duckdb")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        old, self._newest = self._newest, Copy(folder, version, published, at)
        if old is not None:
            self._drop(old)
        return self._newest

    def _drop(self, copy: Copy) -> None:
        if copy is not self._newest and not copy.readers:
            shutil.rmtree(copy.folder, ignore_errors=True)
