"""The market of a simulated week, in a process of its own, and what is wrong with it when."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from ingest.simulator.faults import Faults
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from ingest.simulator.socket_faults import SocketFaults
from ingest.simulator.sockets import SimulatedSockets
from tests.live_fixture import HandClock

ALWAYS = Faults(
    too_many_requests=0.005,
    server_error=0.01,
    cut_connection=0.005,
    malformed_json=0.005,
    html_page=0.005,
    slow=0.002,
    slow_seconds=0.5,
    duplicate_rows=0.02,
    out_of_order=0.02,
    nan=0.005,
    revised_bars=0.05,
)
OUTAGE = Faults(server_error=1.0)
ALWAYS_STREAMED = SocketFaults(
    cut=0.25, garbage_frame=0.02, corrected_bars=0.05, slow=0.02, stall=0.005
)


@dataclass(frozen=True)
class Weather:
    """What is wrong at one moment."""

    is_answering: bool = True
    """Whether the providers' REST servers take connections."""
    is_streaming: bool = True
    faults: Faults = field(default_factory=Faults)
    streamed: SocketFaults = field(default_factory=SocketFaults)
    skew: timedelta = timedelta(0)
    """By how much the service's clock is ahead of the market's."""


@dataclass(frozen=True)
class Spell:
    """Something that is wrong for a while: minutes since the session's open."""

    kind: str
    """down, stream down, outage (every answer is a 5xx, no stream), or the skew in seconds."""
    first: int
    last: int
    sessions: Sequence[int] | None = None
    """None: every session."""


WEEK = (
    Spell("down", 60, 120, (0,)),
    Spell("stream down", 60, 120, (1,)),
    Spell("outage", 60, 120, (2,)),
    Spell("down", -20, 40, (3,)),
    Spell("down", 355, 415, (4,)),
    Spell("+7", 130, 160),
    Spell("-20", 160, 175),
    Spell("+75", 180, 195),
    Spell("-150", 200, 210),
    Spell("-40", 440, 640, (1,)),
)
"""An hour without providers in every session; clock skew of seconds and of minutes."""


def weather_at(spells: Sequence[Spell], session: int, minute: float) -> Weather:
    """Return what is wrong at a minute since the open of a session (0: the first)."""
    now = {
        spell.kind
        for spell in spells
        if spell.first <= minute < spell.last and (not spell.sessions or session in spell.sessions)
    }
    return Weather(
        is_answering="down" not in now,
        is_streaming=not now & {"down", "stream down", "outage"},
        faults=OUTAGE if "outage" in now else ALWAYS,
        streamed=ALWAYS_STREAMED,
        skew=timedelta(seconds=sum(int(kind) for kind in now if kind[0] in "+-")),
    )


@dataclass(frozen=True)
class Addresses:
    """Where the providers are."""

    fmp: str
    massive: str
    massive_socket: str


class Providers:
    """Both providers over one market, up or down, on ports that stay the same."""

    def __init__(self, at: datetime) -> None:
        self.clock = HandClock(at)
        self.counts: Counter[str] = Counter()
        self._market = GeneratedMarket()
        self._server, self._sockets = self._new_server(0), self._new_sockets(0)
        self.addresses = Addresses(
            self._server.base_url, self._server.massive_url, self._sockets.massive_url
        )
        urls = (self.addresses.massive, self.addresses.massive_socket)
        self._server_port, self._socket_port = (urlsplit(url).port or 0 for url in urls)
        self._up, self._streaming = ExitStack(), ExitStack()
        self._up.enter_context(self._server)
        self._streaming.enter_context(self._sockets)
        self._counted = 0
        self._weather = Weather()

    def _new_server(self, port: int) -> SimulatedServer:
        return SimulatedServer(self._market, self.clock, port=port)

    def _new_sockets(self, port: int) -> SimulatedSockets:
        return SimulatedSockets(self._market, self.clock, port=port)

    def be(self, at: datetime, weather: Weather) -> None:
        """Move on to a moment and its weather."""
        self._count()
        before, self._weather = self._weather, weather
        if weather.is_answering != before.is_answering:
            self._up.close()
            if weather.is_answering:
                self._server, self._counted = self._new_server(self._server_port), 0
                self._up.enter_context(self._server)
        if weather.is_streaming != before.is_streaming:
            self._stop_streaming()
            if weather.is_streaming:
                self._sockets = self._new_sockets(self._socket_port)
                self._streaming.enter_context(self._sockets)
        self._server.faults, self._sockets.faults = weather.faults, weather.streamed
        self.clock.at = at

    def _stop_streaming(self) -> None:
        self.counts["logins to the stream"] += self._sockets.logins
        self._sockets.logins = 0
        self._streaming.close()
        self._sockets.cut()

    def _count(self) -> None:
        for request in reversed(self._server.requests):
            if request.number <= self._counted:
                break
            self.counts.update(request.faults - {"revised_bars"})  # of bars: revisions tell
            self.counts["requests"] += 1
        if self._server.requests:
            self._counted = self._server.requests[-1].number

    def close(self) -> None:
        """End the servers."""
        self._count()
        self._stop_streaming()
        self._up.close()


def serve_market(pipe: Connection, at: datetime) -> None:
    """Serve until None comes over the pipe; then answer what was counted."""
    providers = Providers(at)
    pipe.send(providers.addresses)
    while (order := pipe.recv()) is not None:
        providers.be(*order)
        pipe.send(None)
    providers.close()
    pipe.send(providers.counts)


@dataclass
class MarketProcess:
    """The market, driven from here."""

    pipe: Connection
    addresses: Addresses
    counts: Counter[str] = field(default_factory=Counter)

    def be(self, at: datetime, weather: Weather) -> None:
        """Move the market on; it has moved when this returns."""
        self.pipe.send((at, weather))
        self.pipe.recv()


@contextmanager
def market_process(at: datetime) -> Iterator[MarketProcess]:
    """Serve the market in another process, so that the service's memory is told apart."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_market, args=(theirs, at), daemon=True)
    process.start()
    market = MarketProcess(ours, ours.recv())
    try:
        yield market
        ours.send(None)
        market.counts = ours.recv()
    finally:
        process.join(10)
        process.kill()
