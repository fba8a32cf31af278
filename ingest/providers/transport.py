"""One GET to Financial Modeling Prep: paced, retried, its failures told apart, the key secret."""

from __future__ import annotations

import json
import random
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import urllib3
from pyrate_limiter import Duration
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from ingest.budget import CallBudget
from ingest.clock import Clock
from ingest.providers.errors import (
    BadAnswerError,
    FetchRecord,
    LimitReachedError,
    NotInPlanError,
    ProviderError,
    SymbolNotInPlanError,
    UnreachableError,
    WrongKeyError,
)

Rows = list[dict[str, Any]]

ATTEMPTS = 6
"""Enough pauses for a limit per minute to lift: 2 + 4 + 8 + 16 + 32 seconds by the clock."""

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two bytes: cold endpoints were measured at 37 seconds."""
LONGEST_PAUSE = 90.0
"""Seconds, by the clock, that are waited for a limit per minute to lift."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer as it came: `body` is still packed where the headers say so."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self) -> str:
        """Return the body's text, whatever it may be."""
        body = self.body
        if self.headers.get("Content-Encoding") == "gzip":
            with suppress(zlib.error):
                body = zlib.decompress(body, wbits=31)
        return body.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Transport:
    """How requests reach the provider. Threads may share one."""

    base_url: str
    api_key: str
    budget: CallBudget
    clock: Clock
    http: requests.Session
    backoff_seconds: float = 0.5
    """Real seconds that the first pause after a failure is drawn from; doubled each time."""

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError(f"FMP_BASE_URL is {self.base_url!r}: it must start with https://")
        if not (self.api_key.isascii() and self.api_key.isprintable()) or " " in self.api_key:
            raise ValueError("FMP_API_KEY has characters that no key has: copy it again")

    def __repr__(self) -> str:
        return f"Transport({self.base_url})"

    def get(self, path: str, params: Mapping[str, str], record: FetchRecord) -> Rows:
        """Return the rows that GET `path` answers with, and add what it cost to `record`.

        Raises a ProviderError whose `request` is `record`.
        """
        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._pause,
            sleep=self._sleep,
            reraise=True,
        )
        started = time.perf_counter()
        try:
            rows: Rows = retrying(self._try_once, path, params, record)
        except ProviderError as error:
            record.outcome = "error"
            error.request = record
            raise
        finally:
            record.seconds += time.perf_counter() - started
        record.row_count = len(rows)
        record.outcome = "ok" if rows else "empty"
        return rows

    def _try_once(self, path: str, params: Mapping[str, str], record: FetchRecord) -> Rows:
        self.budget.acquire()
        record.attempts += 1
        record.status = None
        where = f"{path} {dict(params)}"
        try:
            reply = self._fetch(path, params)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise UnreachableError(self._redacted(f"{where}: {_reason(error)}")) from None
        record.status = reply.status
        record.byte_count += len(reply.body)
        self.budget.charge(len(reply.body))
        try:
            return read_rows(reply, where)
        except ProviderError as error:
            error.args = (self._redacted(str(error)),)
            if isinstance(error, LimitReachedError) and self.budget.limits.per == Duration.DAY:
                error.retries = False
            raise

    def _fetch(self, path: str, params: Mapping[str, str]) -> Reply:
        with self.http.get(
            f"{self.base_url.rstrip('/')}/{path}",
            params=params,
            headers={"apikey": self.api_key, "Accept-Encoding": "gzip"},
            timeout=TIMEOUT,
            allow_redirects=False,  # a redirect would carry the key to another host
            stream=True,
        ) as response:
            # as it came over the wire, to count what the plan's bandwidth counts
            body = b"".join(response.raw.stream(decode_content=False))
            return Reply(response.status_code, response.headers, body)

    def _redacted(self, text: str) -> str:
        return text.replace(self.api_key, "***") if self.api_key else text

    def _pause(self, state: RetryCallState) -> float:
        """Return real seconds: what a limit asks for is by the market's clock, the rest is not."""
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, ProviderError)
        wanted = error.retry_after
        if wanted is None and isinstance(error, LimitReachedError):
            wanted = 2.0**state.attempt_number + random.random()
        if wanted is not None:
            return min(wanted, LONGEST_PAUSE) / self.clock.speed
        return wait_random_exponential(self.backoff_seconds, max=20)(state)

    def _sleep(self, real_seconds: float) -> None:
        self.budget.sleep(real_seconds * self.clock.speed)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ProviderError) and error.retries


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.HTTPError) or "Connection aborted" in str(error):
        return "the connection was cut before the answer was whole"
    if isinstance(error, requests.ConnectionError):
        return "no connection: check the network and FMP_BASE_URL"
    return f"the request could not be sent ({type(error).__name__}): check FMP_BASE_URL"


def read_rows(reply: Reply, where: str) -> Rows:
    """Return the rows of an answer; raise the ProviderError that it stands for otherwise.

    The content type says JSON on every error body too, so only status and text are believed.
    """
    text = reply.text()
    error = refusal(reply.status, text, where)
    if error is not None:
        error.retry_after = _retry_after(reply.headers)
        raise error
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        raise BadAnswerError(f"{where}: FMP answered with an error: {_excerpt(_message(text))}")
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        garbage = BadAnswerError(f"{where}: expected rows, got {_excerpt(text)}")
        garbage.retries = True
        raise garbage
    return answer


@dataclass(frozen=True)
class Refusal:
    """What stands for a failure: one of these statuses, or one of these words in the body."""

    error: type[ProviderError]
    message: str
    statuses: range = range(0)
    words: tuple[str, ...] = ()
    retries: bool = False


CHECK_KEY = "Check FMP_API_KEY in .env"
REFUSALS = (
    Refusal(
        WrongKeyError,
        f"FMP refuses the key: {{said}} {CHECK_KEY}",
        range(401, 402),
        ("Invalid API KEY", "Account suspended"),
    ),
    Refusal(
        LimitReachedError,
        "the plan's 30-day bandwidth is used up: {said}",
        words=("Bandwidth Lim",),
    ),
    Refusal(
        LimitReachedError,
        "FMP's call limit is reached: {said}",
        range(429, 430),
        ("Limit Reach",),
        retries=True,
    ),
    Refusal(
        SymbolNotInPlanError,
        "{where}: not in your FMP plan: {said}",
        words=("Premium Query Parameter",),
    ),
    Refusal(
        NotInPlanError,
        "{where}: not in your FMP plan: {said}",
        range(402, 403),
        ("Restricted Endpoint", "Exclusive Endpoint", "Legacy Endpoint"),
    ),
    Refusal(WrongKeyError, f"FMP refuses the request: {{said}} {CHECK_KEY}", range(403, 404)),
    Refusal(
        UnreachableError, "{where}: FMP answered {status}: {said}", range(500, 600), retries=True
    ),
    Refusal(BadAnswerError, "{where}: FMP answered {status}: {said}", range(201, 500)),
)
"""The first that fits counts. The words are FMP's, as recorded; some come with a status of 200."""


def refusal(status: int, text: str, where: str) -> ProviderError | None:
    """Return the error that a status and a body stand for; None where the body should be rows."""
    said = _message(text)
    for case in REFUSALS:
        if status in case.statuses or any(words in said for words in case.words):
            message = case.message.format(where=where, status=status, said=_excerpt(said))
            error = case.error(message)
            error.retries = case.retries
            return error
    return None


def _message(text: str) -> str:
    """Return the words of an error body, JSON or plain; the rows of an answer have none."""
    if text.lstrip()[:1] == "[":
        return ""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(answer, dict):
        for key in ("Error Message", "error", "message"):
            if key in answer:
                return str(answer[key])
    return text


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
