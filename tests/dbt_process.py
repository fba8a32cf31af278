"""dbt in a process of its own for each call, forked from one that has imported dbt already."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["dbt.cli.main", "dbt.adapters.duckdb"])


def call_dbt(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run dbt as `python -m dbt.cli.main` does; return its status and what it printed.

    Raises TimeoutExpired after `timeout` seconds.
    """
    with tempfile.NamedTemporaryFile("r") as printed:
        process = _FORKS.Process(
            target=_become_dbt, args=(list(arguments), folder, dict(environment), printed.name)
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["dbt", *arguments], timeout, printed.read())
        return subprocess.CompletedProcess(arguments, process.exitcode, printed.read())


def _become_dbt(
    arguments: list[str], folder: Path, environment: dict[str, str], printed: str
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream in (1, 2):
        os.dup2(os.open(printed, os.O_WRONLY | os.O_APPEND), stream)
    from dbt.cli.main import cli

    cli(arguments)
