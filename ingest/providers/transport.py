"""One GET to a provider: paced, retried, its failures told apart, the key secret."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_plus

import requests
import urllib3
from pyrate_limiter import Duration
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from ingest.budget import CallBudget
from ingest.clock import Clock
from ingest.providers.bulk_files import file_rows
from ingest.providers.errors import (
    FetchRecord,
    LimitReachedError,
    NotInPlanError,
    ProviderError,
    SymbolNotInPlanError,
    UnreachableError,
)
from ingest.providers.refusals import Refusal, Reply, Rows, read_rows, rows_of

ATTEMPTS = 6
"""Enough pauses for a limit per minute to lift: 2 + 4 + 8 + 16 + 32 seconds by the clock."""

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and between two bytes: cold endpoints were measured at 37 seconds."""
LONGEST_PAUSE = 90.0
"""Seconds, by the clock, that are waited for a limit per minute to lift."""

Reader = Callable[[Reply, Iterable[bytes], str], Rows]
"""Given an answer without its body, the body in pieces, and what to call the request: its rows."""


@dataclass(frozen=True)
class Wire:
    """How one provider is spoken to, and what its answers mean."""

    provider: str
    """Its name in messages."""
    setting: str
    """What its settings begin with: FMP for FMP_API_KEY and FMP_BASE_URL."""
    refusals: tuple[Refusal, ...]
    """The first that fits an answer counts."""
    key_header: str = ""
    key_param: str = ""
    """Where the key goes: a header, or else a parameter of the URL."""
    key_prefix: str = ""
    find_rows: Callable[[Any], Rows | None] = rows_of


@dataclass(frozen=True)
class Transport:
    """How requests reach the provider. Threads may share one."""

    wire: Wire
    base_url: str
    api_key: str
    budget: CallBudget
    clock: Clock
    http: requests.Session
    backoff_seconds: float = 0.5
    """Real seconds that the first pause after a failure is drawn from; doubled each time."""

    def __post_init__(self) -> None:
        setting = self.wire.setting
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError(
                f"{setting}_BASE_URL is {self.base_url!r}: it must start with https://"
            )
        if not (self.api_key.isascii() and self.api_key.isprintable()) or " " in self.api_key:
            raise ValueError(f"{setting}_API_KEY has characters that no key has: copy it again")

    def __repr__(self) -> str:
        return f"Transport({self.base_url})"

    def get(self, path: str, params: Mapping[str, str], record: FetchRecord) -> Rows:
        """Return the rows that GET `path` answers with, and add what it cost to `record`.

        Raises a ProviderError whose `request` is `record`.
        """
        return self._retried(path, params, record, self._read_rows)

    def get_file(
        self,
        path: str,
        params: Mapping[str, str],
        record: FetchRecord,
        symbols: Collection[str],
    ) -> Rows:
        """Return the rows of a bulk file that are of `symbols`, their values as texts.

        The file is read as it comes, so it may be of any size. Raises as `get` does.
        """

        def read(reply: Reply, chunks: Iterable[bytes], where: str) -> Rows:
            rows = file_rows(reply, chunks, symbols)
            return self._read_rows(rows, (), where) if isinstance(rows, Reply) else rows

        return self._retried(path, params, record, read)

    def _read_rows(self, reply: Reply, chunks: Iterable[bytes], where: str) -> Rows:
        wire = self.wire
        whole = replace(reply, body=reply.body + b"".join(chunks))
        return read_rows(whole, where, wire.provider, wire.refusals, wire.find_rows)

    def _retried(
        self, path: str, params: Mapping[str, str], record: FetchRecord, read: Reader
    ) -> Rows:
        retrying = Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._pause,
            sleep=self._sleep,
            reraise=True,
        )
        started = time.perf_counter()
        try:
            rows: Rows = retrying(self._try_once, path, params, record, read)
        except ProviderError as error:
            record.outcome = "error"
            if isinstance(error, NotInPlanError | SymbolNotInPlanError):
                record.params = self._with_refusal(record.params, error)
            error.request = record
            raise
        finally:
            record.seconds += time.perf_counter() - started
        record.row_count = len(rows)
        record.outcome = "ok" if rows else "empty"
        return rows

    def _with_refusal(self, params: str, error: ProviderError) -> str:
        """Return a request's parameters with what the plan refused, for the ledger to remember."""
        what = "endpoint" if isinstance(error, NotInPlanError) else "symbol"
        return json.dumps(
            {**json.loads(params), "_refused": what, "_plan": self.budget.limits.name}
        )

    def _try_once(
        self, path: str, params: Mapping[str, str], record: FetchRecord, read: Reader
    ) -> Rows:
        self.budget.acquire()
        record.attempts += 1
        record.status = None
        received = record.byte_count
        where = f"{path} {dict(params)}".lstrip()
        try:
            with self._asked(path, params) as response:
                record.status = response.status_code
                reply = Reply(response.status_code, response.headers, b"")
                return read(reply, _counted(response, record), where)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            record.status = None
            raise UnreachableError(self.redacted(f"{where}: {self._reason(error)}")) from None
        except ProviderError as error:
            error.args = (self.redacted(str(error)),)
            limits = self.budget.limits
            is_of_the_day = limits.per == Duration.DAY and limits.per_second is None
            if isinstance(error, LimitReachedError) and is_of_the_day:
                error.retries = False
            raise
        finally:
            self.budget.charge(record.byte_count - received)

    def _asked(self, path: str, params: Mapping[str, str]) -> requests.Response:
        wire, headers = self.wire, {"Accept-Encoding": "gzip"}
        if wire.key_header:
            headers[wire.key_header] = f"{wire.key_prefix}{self.api_key}"
        else:
            params = {**params, wire.key_param: self.api_key}
        return self.http.get(
            f"{self.base_url.rstrip('/')}/{path}".rstrip("/"),
            params=params,
            headers=headers,
            timeout=TIMEOUT,
            allow_redirects=False,  # a redirect would carry the key to another host
            stream=True,
        )

    def redacted(self, text: str) -> str:
        """Return `text` without the key, as it is or as a URL spells it."""
        for spelling in {self.api_key, quote_plus(self.api_key)} - {""}:
            text = text.replace(spelling, "***")
        return text

    def _pause(self, state: RetryCallState) -> float:
        """Return real seconds: what a limit asks for is by the market's clock, the rest is not.

        A limit holds for everyone: no thread and no other process calls before it has lifted.
        """
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, ProviderError)
        wanted = error.retry_after
        if isinstance(error, LimitReachedError):
            if wanted is None:
                wanted = 2.0**state.attempt_number + random.random()
            self.budget.hold(min(wanted, LONGEST_PAUSE))
        if wanted is not None:
            return min(wanted, LONGEST_PAUSE) / self.clock.speed
        return wait_random_exponential(self.backoff_seconds, max=20)(state)

    def _sleep(self, real_seconds: float) -> None:
        self.budget.sleep(real_seconds * self.clock.speed)

    def _reason(self, error: Exception) -> str:
        check = f"{self.wire.setting}_BASE_URL"
        if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
            return "no answer in time"
        if isinstance(error, urllib3.exceptions.HTTPError) or "Connection aborted" in str(error):
            return "the connection was cut before the answer was whole"
        if isinstance(error, requests.ConnectionError):
            return f"no connection: check the network and {check}"
        return f"the request could not be sent ({type(error).__name__}): check {check}"


def _counted(response: requests.Response, record: FetchRecord) -> Iterator[bytes]:
    """Yield the body as it came over the wire: what the plan's bandwidth counts."""
    for chunk in response.raw.stream(decode_content=False):
        record.byte_count += len(chunk)
        yield chunk


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ProviderError) and error.retries
