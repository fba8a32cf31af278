"""The simulated streams as a real WebSocket server on loopback: Massive's and FMP's, by path."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from threading import Lock, Thread
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from ingest.clock import Clock
from ingest.simulator import fmp_socket, massive_socket
from ingest.simulator.market import Market
from ingest.simulator.outbox import CutError, Outbox
from ingest.simulator.sessions import check_in_life
from ingest.simulator.socket_faults import SocketFaults
from ingest.simulator.speaker import Speaker

HOST = "127.0.0.1"
LOGIN_SECONDS = 10.0
LOOK_SECONDS = 0.02
"""Real seconds between two looks at the clock."""
POLICY_VIOLATION = 1008

log = logging.getLogger(__name__)
log.setLevel(logging.ERROR)  # clients come and go without a word


class SimulatedSockets:
    """Streams `market`, from `with` to its end. One connection of a key and provider at a time.

    `faults` may be set at any time. `port` 0 takes a free one; OSError where it is taken.
    """

    def __init__(
        self,
        market: Market,
        clock: Clock,
        *,
        keys: set[str] | frozenset[str] = frozenset({"demo"}),
        faults: SocketFaults | None = None,
        port: int = 0,
    ) -> None:
        check_in_life(clock.now())
        self.faults = faults or SocketFaults()
        self.subscriptions: list[tuple[str, frozenset[str], frozenset[str]]] = []
        """Path, and the topics that a client added and dropped; oldest first."""
        self.logins = 0
        self._clock = clock
        self._keys = frozenset(keys)
        self._makers: dict[str, Callable[[], Speaker]] = {
            massive_socket.PATH: lambda: massive_socket.MassiveSpeaker(market, self._faults_now),
            fmp_socket.PATH: lambda: fmp_socket.FmpSpeaker(market, self._faults_now),
        }
        self._open: dict[tuple[str, str], ServerConnection] = {}
        self._lock = Lock()
        self._numbers = count(1)
        self._server = serve(
            self._handle,
            HOST,
            port,
            process_request=self._check_path,
            close_timeout=1,
            logger=log,
        )
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def _faults_now(self) -> SocketFaults:
        return self.faults

    @property
    def massive_url(self) -> str:
        """Where Massive's stream is."""
        return f"{self._address}{massive_socket.PATH}"

    @property
    def fmp_url(self) -> str:
        """Where FMP's stream is."""
        return self._address

    @property
    def _address(self) -> str:
        return f"ws://{HOST}:{self._server.socket.getsockname()[1]}"

    @property
    def client_count(self) -> int:
        """How many clients are logged in."""
        with self._lock:
            return len(self._open)

    def cut(self) -> None:
        """End every connection without a word."""
        with self._lock:
            connections = list(self._open.values())
        for connection in connections:
            connection.close_socket()

    def __enter__(self) -> SimulatedSockets:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)

    def _check_path(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path in self._makers:
            return None
        return connection.respond(404, "no such stream\n")

    def _handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        path = socket.request.path
        speaker = self._makers[path]()
        with suppress(ConnectionClosed, TimeoutError):
            for text in speaker.greeting:
                socket.send(text)
            key = self._log_in(socket, speaker)
            if key is None:
                return
            outbox = Outbox(speaker, self._faults_now, self._clock.now())
            try:
                if self._admit(socket, speaker, (path, key)):
                    self._stream(socket, speaker, outbox)
            finally:
                self._leave(socket, (path, key))

    def _log_in(self, socket: ServerConnection, speaker: Speaker) -> str | None:
        """Wait for a login; return its key, or None once it is refused."""
        key = None
        while key is None:
            key = speaker.key_in(_parsed(socket.recv(timeout=LOGIN_SECONDS)))
        with self._lock:
            self.logins += 1
        if key in self._keys and not self.faults.is_drawn("auth_failed", next(self._numbers)):
            return key
        for text in speaker.refusal:
            socket.send(text)
        socket.close()
        return None

    def _admit(self, socket: ServerConnection, speaker: Speaker, place: tuple[str, str]) -> bool:
        """Give the client the account's one place, or tell it that there is none."""
        with self._lock:
            other = self._open.get(place)
            takes_over = other is None or self.faults.is_drawn("evicts_older", self.logins)
            if takes_over:
                self._open[place] = socket
        if takes_over:
            for text in speaker.let_in:
                socket.send(text)
        if other is not None:
            loser = other if takes_over else socket
            with suppress(ConnectionClosed):
                for text in speaker.evicted if takes_over else speaker.one_too_many:
                    loser.send(text)
                loser.close(POLICY_VIOLATION)
        return takes_over

    def _leave(self, socket: ServerConnection, place: tuple[str, str]) -> None:
        with self._lock:
            if self._open.get(place) is socket:
                del self._open[place]

    def _stream(self, socket: ServerConnection, speaker: Speaker, outbox: Outbox) -> None:
        assert socket.request is not None
        path = socket.request.path
        try:
            while True:
                for text in speaker.frames(outbox.due(self._clock.now())):
                    socket.send(text)
                with suppress(TimeoutError):
                    heard = speaker.hear(_parsed(socket.recv(timeout=LOOK_SECONDS)))
                    outbox.change(heard.added, heard.dropped, self._clock.now())
                    self.subscriptions.append((path, heard.added, heard.dropped))
                    for text in heard.answers:
                        socket.send(text)
        except CutError:
            socket.close_socket()


def _parsed(data: str | bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
