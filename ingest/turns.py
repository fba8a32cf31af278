"""One buyer at a time: a second copy of a job waits for the first, and then buys what is left."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_buyer(data_dir: Path, provider: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the turn to buy from `provider` for the warehouse in `data_dir`.

    While another process has it, that is told and waited for; a process that was killed has lost
    it. OSError where the file can't be written.
    """
    with (data_dir / f"buyer_{provider}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            tell(f"process {holder} buys from {provider} now: waiting for it to end")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
