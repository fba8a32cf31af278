"""The simulated provider as a real HTTP server on loopback."""

from __future__ import annotations

import base64
import gzip
import hashlib
import socket
import time
from collections import deque
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ingest.clock import Clock
from ingest.simulator.answers import Answer
from ingest.simulator.faults import Faults
from ingest.simulator.market import Market
from ingest.simulator.plans import Plan, find_plan
from ingest.simulator.service import RequestRecord, Service

_EPOCH = datetime(1970, 1, 1)

HOST = "127.0.0.1"

FIXED_HEADERS = (
    ("Connection", "keep-alive"),
    ("Access-Control-Allow-Credentials", "true"),
    (
        "Access-Control-Allow-Headers",
        "X-Requested-With, content-type, auth-token, Authorization, stripe-signature, APPS, "
        "publicauthkey, privateauthkey",
    ),
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Max-Age", "3600"),
    ("Vary", "Accept-Encoding"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("X-Powered-By", "Express"),
)


class SimulatedServer:
    """Serves `market` at `base_url` as FMP's `stable` API, from `with` to its end.

    `plan` is a plan's name or a Plan. `port` 0 takes a free one; OSError where a port is taken.
    """

    def __init__(
        self,
        market: Market,
        clock: Clock,
        *,
        plan: str | Plan = "ultimate",
        keys: set[str] | frozenset[str] = frozenset({"demo"}),
        faults: Faults | None = None,
        port: int = 0,
    ) -> None:
        chosen = plan if isinstance(plan, Plan) else find_plan(plan)
        self.service = Service(market, clock, chosen, frozenset(keys), faults or Faults())
        self._http = _Listener((HOST, port), self.service)
        self._thread = Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        """Where the API is, without a slash at the end."""
        return f"http://{HOST}:{self._http.server_address[1]}/stable"

    @property
    def faults(self) -> Faults:
        """What goes wrong; may be set at any time."""
        return self.service.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.service.faults = faults

    @property
    def requests(self) -> deque[RequestRecord]:
        """The last requests, oldest first."""
        return self.service.requests

    def __enter__(self) -> SimulatedServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._http.close_connections()
        self._thread.join(timeout=5)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], service: Service) -> None:
        super().__init__(address, _Connection)
        self.service = service
        self._open: set[socket.socket] = set()
        self._lock = Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing where a client has hung up."""

    def close_connections(self) -> None:
        with self._lock:
            left = list(self._open)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Connection(BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 120

    def version_string(self) -> str:
        return "nginx/1.18.0 (Ubuntu)"

    def log_message(self, format: str, *args: Any) -> None:  # the base class's name
        """Log nothing: request lines hold keys."""

    def do_GET(self) -> None:  # the base class's name
        parts = urlsplit(self.path)
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        key = params.pop("apikey", None) or self.headers.get("apikey")
        service = self.server.service
        answer, drawn = service.answer(parts.path, params, key)
        if "slow" in drawn:
            time.sleep(service.faults.slow_seconds)
        service.sent(key, self._send(answer, drawn))

    def _send(self, answer: Answer, drawn: frozenset[str]) -> int:
        """Send `answer` in chunks, as the recorded answers came; return the bytes of its body."""
        body, is_packed = answer.body, "gzip" in self.headers.get("Accept-Encoding", "")
        if is_packed:
            body = gzip.compress(body, compresslevel=1, mtime=0)
        if "gzip_garbage" in drawn:
            body, is_packed = b"\x1f\x8b" + answer.body[:500], True
        self.send_response_only(answer.status, HTTPStatus(answer.status).phrase)
        self.send_header("Server", self.version_string())
        self.send_header("Date", self.date_time_string(self._unix_now()))
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in FIXED_HEADERS:
            self.send_header(name, value)
        self.send_header("ETag", _etag(answer.body))
        if is_packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if "cut_connection" in drawn:
            return self._cut(body)
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n")
        self.wfile.flush()
        return len(body)

    def _cut(self, body: bytes) -> int:
        half = body[: len(body) // 2]
        self.wfile.write(b"%x\r\n%b" % (len(body), half))
        self.wfile.flush()
        self.close_connection = True
        return len(half)

    def _unix_now(self) -> float:
        epoch = self.server.service.clock.now()
        return (epoch - _EPOCH).total_seconds()


def _etag(body: bytes) -> str:
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'
