"""The provider without its sockets: key, limits and plan are checked, then the path answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import count
from threading import Lock

from ingest.clock import Clock
from ingest.simulator.answers import (
    BANDWIDTH_REACH,
    BULK_REACH,
    INVALID_KEY,
    LIMIT_REACH,
    RESTRICTED,
    RESTRICTED_SYMBOL,
    Answer,
    Handler,
    MissingParameterError,
    Params,
    error,
    missing,
    text,
)
from ingest.simulator.endpoints import BULK_PATHS, make_endpoints
from ingest.simulator.faults import Faults
from ingest.simulator.limits import Meter
from ingest.simulator.market import Market
from ingest.simulator.plans import Plan
from ingest.simulator.sessions import check_in_life, sessions
from ingest.simulator.view import View

KEPT_REQUESTS = 50_000

OUTAGES = (500, 502, 503, 504)


@dataclass(frozen=True)
class RequestRecord:
    """What was asked and how it was answered; the key is left out."""

    number: int
    asked_at: datetime
    path: str
    params: Params
    status: int
    faults: frozenset[str]


@dataclass
class Service:
    """A provider over `market`. `faults` may be set at any time."""

    market: Market
    clock: Clock
    plan: Plan
    keys: frozenset[str]
    faults: Faults = field(default_factory=Faults)
    requests: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))

    def __post_init__(self) -> None:
        check_in_life(self.clock.now())
        self._endpoints = make_endpoints(self.market)
        self._meters = {key: Meter(self.plan) for key in self.keys}
        self._numbers = count(1)
        self._lock = Lock()

    def answer(self, path: str, params: Params, key: str | None) -> tuple[Answer, frozenset[str]]:
        """Answer one request to `path` (below the root) and say which faults it has."""
        with self._lock:
            number = next(self._numbers)
        now, drawn = self.clock.now(), self.faults.drawn(number)
        answer = self._checked(
            path, params, key, View(self.market, now, self.faults, drawn, number)
        )
        self.requests.append(RequestRecord(number, now, path, params, answer.status, drawn))
        return answer, drawn

    def count_bytes(self, key: str | None, byte_count: int) -> None:
        """Count what is about to go over the wire against the key's bandwidth."""
        if key in self._meters:
            self._meters[key].count_bytes(self.clock.now(), byte_count)

    def _checked(self, path: str, params: Params, key: str | None, view: View) -> Answer:
        meter = self._meters.get(key or "")
        if meter is None:
            return error(401, INVALID_KEY)
        endpoint = path.removeprefix("/stable/")
        handler = self._endpoints.get(endpoint) if path.startswith("/stable/") else None
        if handler is None:
            return Answer(404, b"[]")
        refusal = self._refusal(endpoint, params, meter, view)
        return refusal or _outage(view) or _called(handler, view, params)

    def _refusal(self, endpoint: str, params: Params, meter: Meter, view: View) -> Answer | None:
        """Return what the plan forbids, in the order in which it is checked."""
        refusal = None
        if "too_many_requests" in view.drawn or not meter.take(view.now):
            refusal = error(429, LIMIT_REACH)
        elif not meter.has_bandwidth(view.now):
            refusal = error(429, BANDWIDTH_REACH)
        elif "payment_required" in view.drawn or endpoint not in self.plan.endpoints:
            refusal = text(402, RESTRICTED)
        elif not self._is_in_plan(params, view):
            refusal = text(402, RESTRICTED_SYMBOL)
        elif endpoint in BULK_PATHS and not meter.take_bulk(endpoint, view.now):
            refusal = error(200, BULK_REACH)
        return refusal

    def _is_in_plan(self, params: Params, view: View) -> bool:
        if self.plan.symbol_count is None:
            return True
        asked: Iterable[str] = params.get("symbol", "").split(",")
        return all(symbol in self._free_symbols or not view.profile(symbol) for symbol in asked)

    @cached_property
    def _free_symbols(self) -> frozenset[str]:
        """The symbols of the largest companies, which the free plan has."""
        day = sessions()[View(self.market, self.clock.now()).closed_index()].session_date
        caps = {}
        for symbol in self.market.symbols():
            bars = self.market.daily(symbol, day, day)
            price = float(bars["close"][-1]) if len(bars) else 0.0
            caps[symbol] = self.market.market_cap(symbol, day, price) or 0.0
        largest = sorted(caps, key=lambda symbol: -caps[symbol])
        return frozenset(largest[: self.plan.symbol_count])


def _outage(view: View) -> Answer | None:
    if "server_error" in view.drawn:
        status = OUTAGES[view.request_number % len(OUTAGES)]
        page = (
            f"<html>\r\n<head><title>{status}</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
        )
        return Answer(status, page.encode(), "text/html")
    if "html_page" in view.drawn:
        page = "<!doctype html><html><body>We will be back soon.</body></html>"
        return Answer(200, page.encode(), "text/html; charset=utf-8")
    if "error_inside_200" in view.drawn:
        return error(200, LIMIT_REACH)
    return None


def _called(handler: Handler, view: View, params: Params) -> Answer:
    try:
        answer = handler(view, params)
    except MissingParameterError as problem:
        return missing(str(problem))
    if "malformed_json" in view.drawn:
        return Answer(200, answer.body[: len(answer.body) * 2 // 3] or b"[")
    return answer
