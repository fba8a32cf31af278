"""Programs that the demo runs: in sessions of their own, and ended with the demo in any case."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ingest.settings import ROOT

GRACE_SECONDS = 3.0
"""How long a program may take to end in order before it is killed."""

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    output: IO[bytes] | None = None,
    held: IO[str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program in the project's root.

    The terminal's Ctrl-C does not reach it: it ends by `end`, or (on Linux) with this process,
    kill -9 included. `held` is a file whose lock it keeps while it lives.
    """
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
        start_new_session=True,
        pass_fds=[held.fileno()] if held else [],
        preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, bound beforehand
    )


def end(
    child: subprocess.Popen[bytes] | None,
    number: int = signal.SIGTERM,
    grace_seconds: float = GRACE_SECONDS,
) -> None:
    """End a program that still runs, in order if it does so in time."""
    if child is None or child.poll() is not None:
        return
    child.send_signal(number)
    try:
        child.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
