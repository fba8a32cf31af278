"""Copying a file by renewing a retired copy of it: only the bytes that differ are written.

Runs as a program of its own, `python ingest/recycling.py SOURCE TARGET [RETIRED ...]`: a process
that closes a file drops all its locks on it, and the one that publishes holds the warehouse's.

Contents are compared, not the checksums that DuckDB keeps of its blocks: those are the same when
two values of a block change places.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
import sys
from pathlib import Path

COMPARED_BYTES = 256 * 1024
"""Read at a time: small enough for the processor's cache."""

WRITTEN_BYTES = 4096
"""The least that is written: a page."""


def copy(source: Path, target: Path, retired: list[Path]) -> int:
    """Make `target` a copy of `source`, on disk when this returns; return the bytes written.

    The first of `retired` that nobody reads becomes the target; without one all is copied.
    """
    for candidate in retired:
        opened = open_unread(candidate)
        if opened is not None:
            try:
                candidate.rename(target)
                return renew(source, opened)
            finally:
                os.close(opened)  # and with it the lock: whoever opens it now finds it complete
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())
    return target.stat().st_size


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


def renew(source: Path, target: int) -> int:
    """Make the open file `target` equal to `source`, on disk; return the bytes written."""
    written = 0
    with source.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        os.ftruncate(target, size)
        for offset in range(0, size, COMPARED_BYTES):
            new = os.pread(file.fileno(), COMPARED_BYTES, offset)
            old = os.pread(target, COMPARED_BYTES, offset)
            for start, piece in differing(new, old):
                if os.pwrite(target, piece, offset + start) != len(piece):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += len(piece)
    os.fsync(target)
    return written


def differing(new: bytes, old: bytes) -> list[tuple[int, bytes]]:
    """Return the pages of `new`, with their offsets, that `old` has otherwise.

    >>> differing(b"a" * 4096 + b"b", b"a" * 4096 + b"c")
    [(4096, b'b')]
    """
    if new == old:
        return []
    starts = range(0, len(new), WRITTEN_BYTES)
    pages = [(start, new[start : start + WRITTEN_BYTES]) for start in starts]
    return [(start, page) for start, page in pages if page != old[start : start + WRITTEN_BYTES]]


if __name__ == "__main__":
    source, target, *retired = map(Path, sys.argv[1:])
    print(copy(source, target, retired))
