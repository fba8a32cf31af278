"""The log of the jobs: one JSON object a line, in `<data_dir>/ingest.log`, without any key."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote_plus

import structlog

from ingest.clock import Clock

LOG_NAME = "ingest.log"
LARGEST = 20_000_000
"""Bytes after which the log begins anew; the one before it is kept."""
SHORTEST_KEY = 4
"""Shorter settings are no keys, and would blank out half the log."""


def redacted(text: str, keys: Iterable[str]) -> str:
    """Return `text` without the keys, as they are or as URLs spell them."""
    for key in keys:
        if len(key) >= SHORTEST_KEY:
            text = text.replace(key, "***").replace(quote_plus(key), "***")
    return text


def open_log(data_dir: Path, clock: Clock, keys: Iterable[str]) -> TextIO:
    """Send what the jobs log to the file, and return it. OSError where it can't be written."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / LOG_NAME
    if path.exists() and path.stat().st_size > LARGEST:
        path.replace(path.with_suffix(".log.1"))
    known = tuple(keys)
    file = path.open("a", encoding="utf-8", buffering=1)

    def with_time(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["at"] = f"{clock.now().isoformat(timespec='milliseconds')}Z"
        return event

    def without_keys(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {
            name: redacted(value, known) if isinstance(value, str) else value
            for name, value in event.items()
        }

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            with_time,
            without_keys,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=file),
        cache_logger_on_first_use=False,
    )
    return file


def close_log(file: TextIO) -> None:
    """Stop logging to `file`."""
    silence()
    file.close()


def silence() -> None:
    """Log nowhere: what programs that are no jobs want of the code they share with them."""
    structlog.configure(processors=[_dropped], logger_factory=structlog.ReturnLoggerFactory())


def _dropped(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    raise structlog.DropEvent


def traceback_text(error: BaseException, keys: Iterable[str]) -> str:
    """Return an error's traceback without the keys."""
    return redacted("".join(traceback.format_exception(error)), keys)
