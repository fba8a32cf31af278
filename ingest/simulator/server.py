"""The simulated provider as a real HTTP server on loopback.

Requests are read by hand: the standard library's handler spends most of a small answer's time on
headers that nobody here asks for.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from email.utils import format_datetime
from http import HTTPStatus
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ingest.clock import Clock
from ingest.simulator.answers import Answer
from ingest.simulator.faults import Faults
from ingest.simulator.market import Market
from ingest.simulator.plans import Plan, find_alpha_vantage_plan, find_massive_plan, find_plan
from ingest.simulator.service import RequestRecord, Service

HOST = "127.0.0.1"

LONGEST_LINE = 65_536

FIXED_HEADERS = """\
Transfer-Encoding: chunked\r
Connection: {connection}\r
X-Powered-By: Express\r
Access-Control-Allow-Credentials: true\r
Access-Control-Allow-Origin: *\r
Access-Control-Allow-Methods: GET, POST, OPTIONS\r
Access-Control-Allow-Headers: X-Requested-With, content-type, auth-token, Authorization, \
stripe-signature, APPS, publicauthkey, privateauthkey\r
Access-Control-Max-Age: 3600\r
X-Frame-Options: SAMEORIGIN\r
Vary: Accept-Encoding\r
"""


class SimulatedServer:
    """Serves `market`, from `with` to its end, as three providers do, each at its own URL.

    `plan` is a plan's name or a Plan of FMP. `port` 0 takes a free one; OSError where it is taken.
    """

    def __init__(
        self,
        market: Market,
        clock: Clock,
        *,
        plan: str | Plan = "ultimate",
        massive_plan: str = "advanced",
        alpha_vantage_plan: str = "premium",
        keys: set[str] | frozenset[str] = frozenset({"demo"}),
        faults: Faults | None = None,
        port: int = 0,
    ) -> None:
        chosen = plan if isinstance(plan, Plan) else find_plan(plan)
        self.service = Service(
            market,
            clock,
            chosen,
            find_massive_plan(massive_plan),
            find_alpha_vantage_plan(alpha_vantage_plan),
            frozenset(keys),
            faults or Faults(),
        )
        self._listener = _Listener((HOST, port), self.service)
        self._thread = Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)

    @property
    def base_url(self) -> str:
        """Where FMP's API is, without a slash at the end."""
        return f"{self.massive_url}/stable"

    @property
    def massive_url(self) -> str:
        """Where Massive's API is: the server's root."""
        return f"http://{HOST}:{self._listener.server_address[1]}"

    @property
    def alpha_vantage_url(self) -> str:
        """Where Alpha Vantage's API is."""
        return f"{self.massive_url}/query"

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
        self._listener.shutdown()
        self._listener.server_close()
        self._listener.close_connections()
        self._thread.join(timeout=5)


class _Listener(ThreadingTCPServer):
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
        """Say nothing of clients that hang up; one line of anything else."""
        problem = sys.exception()
        if not isinstance(problem, OSError):
            print(f"simulated market: {problem!r}", file=sys.stderr, flush=True)

    def close_connections(self) -> None:
        with self._lock:
            left = list(self._open)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Connection(StreamRequestHandler):
    """One client's connection: requests one after the other, until either side ends it."""

    server: _Listener
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 300

    def handle(self) -> None:
        while self._answer_one():
            pass

    def _answer_one(self) -> bool:
        """Answer the next request; return whether the connection stays open."""
        line = self.rfile.readline(LONGEST_LINE).decode("latin-1").split()
        if len(line) != 3:
            return False
        headers = self._read_headers()
        method, target, version = line
        stays = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        if method != "GET":
            self._send(Answer(404, b"[]"), headers, stays=False)
            return False
        parts = urlsplit(target)
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        served = self.server.service.answer(parts.path, params, headers)
        drawn = served.view.drawn
        if "slow" in drawn:
            time.sleep(served.view.faults.slow_seconds)
        self._send(served.answer, headers, drawn, served.count_bytes, stays=stays)
        return stays and "cut_connection" not in drawn

    def _read_headers(self) -> dict[str, str]:
        headers = {}
        while (line := self.rfile.readline(LONGEST_LINE)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    def _send(
        self,
        answer: Answer,
        asked: dict[str, str],
        drawn: frozenset[str] = frozenset(),
        count_bytes: Callable[[int], None] = lambda byte_count: None,
        *,
        stays: bool,
    ) -> None:
        """Send `answer` in chunks, as the recorded answers came, and tell its bytes before."""
        body, is_packed = answer.body, "gzip" in asked.get("accept-encoding", "")
        if is_packed:
            body = gzip.compress(body, compresslevel=1, mtime=0)
        if "gzip_garbage" in drawn:
            body, is_packed = b"\x1f\x8b" + answer.body[:500], True
        head = (
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
            "Server: nginx/1.18.0 (Ubuntu)\r\n"
            f"Date: {format_datetime(self.server.service.clock.now())[:-5]}GMT\r\n"
            f"Content-Type: {answer.content_type}\r\n"
            f"{FIXED_HEADERS.format(connection='keep-alive' if stays else 'close')}"
            f"ETag: {_etag(answer.body)}\r\n"
            f"{'Content-Encoding: gzip' + chr(13) + chr(10) if is_packed else ''}\r\n"
        ).encode("latin-1")
        is_cut = "cut_connection" in drawn
        sent = body[: len(body) // 2] if is_cut else body
        count_bytes(len(sent))  # before a client can know of them
        if is_cut:
            self.wfile.write(head + b"%x\r\n%b" % (len(body), sent))
            return
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        self.wfile.write(head + chunk + b"0\r\n\r\n")
        self.wfile.flush()


def _etag(body: bytes) -> str:
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'
