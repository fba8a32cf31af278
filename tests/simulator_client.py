"""A stopped clock and a plain client for tests of the simulated market."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from ingest.simulator.market import Market
from ingest.simulator.server import SimulatedServer

RECORDED = Path(__file__).parent / "fixtures" / "fmp"
"""Answers of the real provider, as they came over the wire (some shortened to their first rows)."""


@dataclass
class SetClock:
    """A clock that stands until it is set."""

    moment: datetime
    speed: float = 1.0

    def now(self) -> datetime:
        return self.moment


@dataclass
class Client:
    """Asks a simulated server with its key."""

    server: SimulatedServer
    clock: SetClock
    http: requests.Session

    def get(self, path: str, **params: Any) -> requests.Response:
        """Ask `path`; `from_` stands for `from`."""
        asked = {name.rstrip("_"): value for name, value in params.items()}
        return self.http.get(f"{self.server.base_url}/{path}", params=asked, timeout=20)


@contextmanager
def serving(market: Market, at: datetime, **options: Any) -> Iterator[Client]:
    """Serve `market` with its clock standing at `at`."""
    clock = SetClock(at)
    with SimulatedServer(market, clock, **options) as server, requests.Session() as http:
        http.headers["apikey"] = "demo"
        yield Client(server, clock, http)
