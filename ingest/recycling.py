"""Which retired version of the snapshot nobody reads, so that it may be written to."""

from __future__ import annotations

import fcntl
import glob
import os
from pathlib import Path


def open_unread(path: Path) -> int | None:
    """Open `path` for writing, locked against readers; None where a process reads it.

    A file with a second name counts as read: somebody keeps it as it is.
    """
    if path.stat().st_nlink > 1 or is_open(path):
        return None
    try:
        path.chmod(0o644)
        opened = os.open(path, os.O_RDWR)
    except OSError:  # another user's
        return None
    try:
        fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        path.chmod(0o444)
        return None
    return opened


def is_open(path: Path) -> bool:
    """Return whether a process that we may look into has `path` open, locked or not.

    Linux only; elsewhere the lock has to do. A reader that attached the file twice and detached it
    once has lost its lock.
    """
    wanted = path.stat()
    for descriptor in glob.iglob("/proc/[0-9]*/fd/*"):  # noqa: PTH207 (Path's stops at an error)
        try:
            if os.path.samestat(os.stat(descriptor), wanted):  # noqa: PTH116 (thousands of them)
                return True
        except OSError:  # closed since, or another user's
            continue
    return False
