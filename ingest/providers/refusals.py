"""What a provider's answer stands for: rows, or one of the errors, told apart by status and words.

The content type says JSON on every error body too, so only status and text are believed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from ingest.providers.errors import BadAnswerError, ProviderError, UnreachableError

Rows = list[dict[str, Any]]

MESSAGE_KEYS = ("Error Message", "error", "message", "Information", "Note")


@dataclass(frozen=True)
class Reply:
    """An HTTP answer as it came: `body` is still packed where the headers say so."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def unpacked(self) -> bytes:
        """Return the body, unpacked if it can be."""
        if self.headers.get("Content-Encoding") == "gzip":
            with suppress(zlib.error):
                return zlib.decompress(self.body, wbits=31)
        return self.body


@dataclass(frozen=True)
class Refusal:
    """What stands for a failure: one of these statuses, or one of these words in the body."""

    error: type[ProviderError]
    message: str
    statuses: range = range(0)
    words: tuple[str, ...] = ()
    retries: bool = False
    pause: float | None = None
    """Seconds, by the market's clock, to wait where the answer does not say how long."""


OUTAGES = (
    Refusal(
        UnreachableError,
        "{where}: {provider} answered {status}: {said}",
        range(500, 600),
        retries=True,
    ),
    Refusal(BadAnswerError, "{where}: {provider} answered {status}: {said}", range(201, 500)),
)
"""What any status means that a provider gives no meaning of its own."""


def rows_of(answer: Any) -> Rows | None:
    """Return a JSON array of objects as it is; None for anything else."""
    if isinstance(answer, list) and all(isinstance(row, dict) for row in answer):
        return answer
    return None


def read_rows(
    reply: Reply,
    where: str,
    provider: str,
    refusals: Sequence[Refusal],
    find_rows: Callable[[Any], Rows | None] = rows_of,
) -> Rows:
    """Return the rows of an answer; raise the ProviderError that it stands for otherwise."""
    body = reply.unpacked()
    answer = _parsed(body)
    said = "" if isinstance(answer, list) else _message(body, answer)
    case = _refusal(reply.status, said, refusals)
    if case is not None:
        error = case.error(
            case.message.format(
                where=where, provider=provider, status=reply.status, said=_excerpt(said)
            )
        )
        error.retries = case.retries
        asked = _retry_after(reply.headers)
        error.retry_after = case.pause if asked is None else asked
        raise error
    rows = find_rows(answer)
    if rows is not None:
        return rows
    if isinstance(answer, dict):
        raise BadAnswerError(f"{where}: {provider} answered with an error: {_excerpt(said)}")
    garbage = BadAnswerError(f"{where}: expected rows, got {_excerpt(_text(body))}")
    garbage.retries = True
    raise garbage


def _parsed(body: bytes) -> Any:
    """Return what a JSON text holds; None for what is none. NaN is let through, as in Python's."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _refusal(status: int, said: str, refusals: Sequence[Refusal]) -> Refusal | None:
    for case in refusals:
        if status in case.statuses or any(words in said for words in case.words):
            return case
    return None


def _text(body: bytes) -> str:
    return body.decode("utf-8", errors="replace")


def _message(body: bytes, answer: Any) -> str:
    """Return the words of an error body, JSON or plain."""
    if isinstance(answer, dict):
        for key in MESSAGE_KEYS:
            if key in answer:
                return str(answer[key])
    return _text(body)


def _excerpt(text: str) -> str:
    words = " ".join(text.split())
    if not words:
        return "an empty body."
    if words[:1] == "<":
        return "a web page (HTML)."
    shown = "".join(letter if letter.isprintable() else "?" for letter in words[:200])
    return shown if len(words) <= 200 else f"{shown}…"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks for: a number, or a date after the answer's own."""
    asked = headers.get("Retry-After", "")
    try:
        if asked.isdecimal():
            return float(asked)
        wait = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return max(wait.total_seconds(), 0.0)
