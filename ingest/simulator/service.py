"""The simulated providers without their sockets: the path says which of them is asked."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from threading import Lock

from ingest.clock import Clock
from ingest.simulator import alpha_vantage, fmp, massive
from ingest.simulator.answers import Answer, Params
from ingest.simulator.faults import Faults
from ingest.simulator.market import Market
from ingest.simulator.plans import AlphaVantagePlan, MassivePlan, Plan
from ingest.simulator.provider import Asked, Provider, answered
from ingest.simulator.sessions import check_in_life
from ingest.simulator.view import View

KEPT_REQUESTS = 50_000


@dataclass(frozen=True)
class RequestRecord:
    """What was asked and how it was answered; the key is left out."""

    number: int
    asked_at: datetime
    path: str
    params: Params
    status: int
    faults: frozenset[str]


@dataclass(frozen=True)
class Served:
    """An answer, the faults that its transport has, and whose bytes it is."""

    answer: Answer
    view: View
    provider: Provider
    key: str | None

    def count_bytes(self, byte_count: int) -> None:
        """Count what is about to go over the wire."""
        self.provider.count_bytes(self.key, self.view, byte_count)


@dataclass
class Service:
    """Providers over one `market`, with the same keys. `faults` may be set at any time."""

    market: Market
    clock: Clock
    plan: Plan
    massive_plan: MassivePlan
    alpha_vantage_plan: AlphaVantagePlan
    keys: frozenset[str]
    faults: Faults = field(default_factory=Faults)
    requests: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))

    def __post_init__(self) -> None:
        check_in_life(self.clock.now())
        self._fmp = fmp.Fmp(self.market, self.plan, self.keys)
        self._others: dict[str, Provider] = {
            massive.PREFIX: massive.Massive(self.massive_plan, self.keys),
            alpha_vantage.PATH: alpha_vantage.AlphaVantage(self.alpha_vantage_plan, self.keys),
        }
        self._numbers = count(1)
        self._lock = Lock()

    def answer(self, path: str, params: Params, headers: Params) -> Served:
        """Answer one request to `path` (below the root); header names are in lower case."""
        with self._lock:
            number = next(self._numbers)
        now, drawn = self.clock.now(), self.faults.drawn(number)
        view = View(self.market, now, self.faults, drawn, number)
        provider = self._provider_of(path)
        key = provider.take_key(params, headers)
        asked = Asked(path, params, headers.get("host", ""))
        answer = answered(provider, asked, key, view)
        self.requests.append(RequestRecord(number, now, path, params, answer.status, drawn))
        return Served(answer, view, provider, key)

    def _provider_of(self, path: str) -> Provider:
        """Return the provider whose path it is; FMP for what is nobody's."""
        found = (other for prefix, other in self._others.items() if path.startswith(prefix))
        return next(found, self._fmp)
