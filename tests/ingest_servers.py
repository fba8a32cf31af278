"""A provider that says what it is told to, over real sockets, and a client that asks it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

import requests
from pyrate_limiter import Duration

from ingest.budget import CallBudget, PlanLimits
from ingest.clock import Clock, SimulatedClock
from ingest.providers.alpha_vantage import AlphaVantageClient
from ingest.providers.fmp import FmpClient
from ingest.providers.massive import MassiveClient
from ingest.settings import Plan

KEY = "s3cretKey"
MONDAY_NOON = datetime(2026, 8, 31, 16, 0)
LIMITS = PlanLimits(1000, Duration.MINUTE, name="MASSIVE_CALLS_PER_MINUTE=1000")


@dataclass
class Said:
    """One answer; the last one of a list is repeated."""

    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False


@dataclass
class Asked:
    path: str
    params: dict[str, str]
    headers: dict[str, str]


@dataclass
class ScriptedServer:
    base_url: str
    asked: list[Asked]


@contextmanager
def scripted(*answers: Said | str) -> Iterator[ScriptedServer]:
    """Serve `answers` in turn, as FMP does: gzip, chunked, JSON content type on everything."""
    script = [Said(a) if isinstance(a, str) else a for a in answers]
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked.append(Asked(parts.path, dict(parse_qsl(parts.query)), dict(self.headers)))
            said = script[min(len(asked), len(script)) - 1]
            body = gzip.compress(said.body.encode())
            self.send_response(said.status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Transfer-Encoding", "chunked")
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if said.is_cut:
                self.wfile.write(b"%x\r\n%b" % (len(body), body[: len(body) // 2]))
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield ScriptedServer(f"http://127.0.0.1:{server.server_port}/stable", asked)
    finally:
        server.shutdown()
        server.server_close()


def client_of(
    base_url: str,
    *,
    plan: Plan = "premium",
    clock: Clock | None = None,
    key: str = KEY,
) -> FmpClient:
    """Return a client whose pauses are over at once: its market runs 10,000 times as fast."""
    clock = clock or SimulatedClock.starting(MONDAY_NOON, 10_000)
    budget = CallBudget(plan, clock)
    return FmpClient(base_url, key, budget, clock, requests.Session(), backoff_seconds=0.001)


def massive_of(base_url: str, *, clock: Clock | None = None, key: str = KEY) -> MassiveClient:
    """Return a client of Massive whose pauses are over at once."""
    clock = clock or SimulatedClock.starting(MONDAY_NOON, 10_000)
    budget = CallBudget(LIMITS, clock)
    return MassiveClient(base_url, key, budget, clock, requests.Session(), backoff_seconds=0.001)


def alpha_vantage_of(
    base_url: str, *, clock: Clock | None = None, key: str = KEY
) -> AlphaVantageClient:
    """Return a client of Alpha Vantage whose pauses are over at once."""
    clock = clock or SimulatedClock.starting(MONDAY_NOON, 10_000)
    budget, http = CallBudget(LIMITS, clock), requests.Session()
    return AlphaVantageClient(base_url, key, budget, clock, http, backoff_seconds=0.001)
