"""Taking over a data folder for a demo: what a demo made there goes, what is a user's own stays."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ingest.settings import DEMO_MARK
from live.serving import StartError, only_service

MADE = (
    "warehouse.duckdb*", "live.duckdb*", "live_sql", "published", "dbt_live", "models",
    "model_lgbm_*.bin", "watchlist.json", "offline_features.parquet", "symbol_stats.json",
    "budget_*.sqlite*", "buyer_*.lock",
)  # fmt: skip
"""What the commands write into a data folder; nothing else in it is a demo's to delete."""

MARK_TEXT = "This folder holds a demo's simulated market: make demo empties it. Process {}\n"
LOCK_SECONDS = 10.0
"""How long the programs of a killed demo are waited for."""


@contextmanager
def taken_over(data_dir: Path, *, has_files: bool) -> Iterator[IO[str]]:
    """Empty the folder of an earlier demo and hold its mark, locked, for one demo at a time.

    Programs that inherit the file keep the lock while they live. Raises StartError where the
    folder is in use, can't be written, or holds data that no demo made. A market of the user's
    own files (`has_files`) may go with the user's own symbol lists.
    """
    _refuse_user_data(data_dir, has_files)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        mark = (data_dir / DEMO_MARK).open("a+")
    except OSError as error:
        raise StartError(
            f"DATA_DIR {data_dir} can't be written ({error.strerror}): choose another folder, "
            "for example make demo DATA_DIR=/tmp/repump-demo"
        ) from error
    with mark:
        _lock(mark, data_dir)
        with only_service(data_dir):
            for path in _made(data_dir):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        yield mark


def _refuse_user_data(data_dir: Path, has_files: bool) -> None:
    lists = [] if has_files else sorted(path.name for path in data_dir.glob("*.txt"))
    made = [] if (data_dir / DEMO_MARK).exists() else [path.name for path in _made(data_dir)]
    for names, what in ((made, "data of your own"), (lists, "symbol lists of the real market")):
        if names:
            raise StartError(
                f"{data_dir} holds {what} ({', '.join(names[:3])}), which a demo must not touch: "
                "run make demo DATA_DIR=/tmp/repump-demo"
            )


def _made(data_dir: Path) -> list[Path]:
    return sorted(path for pattern in MADE for path in data_dir.glob(pattern))


def _lock(mark: IO[str], data_dir: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            mark.seek(0)
            process = (mark.read().split() or ["unknown"])[-1]
            if time.monotonic() > deadline or Path(f"/proc/{process}").exists():
                raise StartError(
                    f"another demo (process {process}) uses {data_dir}: end it first, "
                    "or run make demo DATA_DIR=/tmp/repump-demo"
                ) from error
            time.sleep(0.2)
    mark.truncate(0)
    mark.write(MARK_TEXT.format(os.getpid()))
    mark.flush()
