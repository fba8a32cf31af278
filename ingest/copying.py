"""Copying a database's file while this process has it open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COPY = """
import shutil, sys
for source, target in zip(sys.argv[1::2], sys.argv[2::2]):
    shutil.copyfile(source, target)
"""


def copy_apart(*copies: tuple[Path, Path]) -> None:
    """Copy files (source, target) in a process of its own.

    A process that closes a file drops all its locks on it, and the one that has a database open
    holds the file's. Raises OSError where a copy fails; nothing is left of any then.
    """
    names = [str(path) for copy in copies for path in copy]
    done = subprocess.run(
        [sys.executable, "-I", "-c", COPY, *names], capture_output=True, text=True, check=False
    )
    if done.returncode:
        for _, target in copies:
            target.unlink(missing_ok=True)
        reason = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise OSError(f"{names[0]} could not be copied to {Path(names[1]).parent}: {reason}")


def onto_disk(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
