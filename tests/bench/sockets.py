"""A thousand clients on the WebSocket, one in ten of them stalled: what the others wait.

`python -m tests.bench.sockets` runs the whole service, loop and store included, in a process of
its own; every second ten of fifty symbols break out at once. Here are its clients. Printed
are the milliseconds from emission to receipt, of every signal at every client that reads. Stalled
clients read nothing until the end, are told their gap then, and have to get all in the end too.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import re
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from typing import cast

import numpy as np
import pyarrow as pa
import typer
import uvicorn

from live.app import create_app
from live.broadcast import Broadcaster, Message
from live.feeds import Polled
from live.garbage import left_for_pauses
from live.serving import BACKLOG, allow_clients, server_config
from live.sessions import Session
from live.warehouse import open_live
from tests.live_fixture import MINUTE, OPEN, HandClock, bars, build, publish

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, PING, PONG = 1, 9, 10
SEQ = re.compile(rb'"seq":(\d+)')
SYMBOLS = [f"S{number:02}" for number in range(50)]
STEP = 4 * MINUTE
"""By the clock, between two bursts: a symbol comes again after its cooldown."""
SMALL_BUFFER = 4_096
QUEUE_SIZE = 16
"""Less than the service's, so that a stalled client has a gap before its ping runs out."""
READ_LIMIT_SECONDS = 30.0


@dataclass
class Burst:
    """What comes how often: `size` signals, every `seconds`, `count` times."""

    size: int
    seconds: float
    count: int

    @property
    def signals(self) -> int:
        return self.size * self.count


@dataclass
class BurstFeed:
    """Has the next symbols break out at each poll, and moves the clock on."""

    clock: HandClock
    burst: Burst
    may_begin: multiprocessing.synchronize.Event
    polls: int = 0
    provider: str = "fmp"
    notes: Sequence[str] = ()
    failures: dict[str, str] = field(default_factory=dict)

    def poll(self, session: Session, symbols: Sequence[str], now: object) -> Polled:
        if not self.may_begin.is_set() or self.polls == self.burst.count:
            return Polled()
        first = self.polls * self.burst.size
        chosen = [SYMBOLS[(first + n) % len(SYMBOLS)] for n in range(self.burst.size)]
        rows = [b for s in chosen for b in bars(s, self.clock.at - 2 * MINUTE, [5.0, 5.2])]
        self.polls += 1
        self.clock.at += STEP
        return Polled(bars=[pa.Table.from_pylist(rows)])

    def close(self) -> None:
        pass


class StampingBroadcaster:
    """Notes when each signal is handed to the clients."""

    def __init__(self, broadcaster: Broadcaster) -> None:
        self.emitted: dict[int, float] = {}
        self._publish = broadcaster.publish
        broadcaster.publish = self.publish  # type: ignore[method-assign]

    def publish(self, message: Message) -> None:
        self.emitted[message.seq] = perf_counter()
        self._publish(message)


def run_service(
    port: Connection, may_begin: multiprocessing.synchronize.Event, burst: Burst, clients: int
) -> None:
    """Serve until told to stop; then say when each signal was emitted."""
    allow_clients(clients)
    with tempfile.TemporaryDirectory() as folder:
        settings = build(Path(folder)).model_copy(update={"live_max_clients": clients})
        watched = ", ".join(f"('2025-11-05', '{s}', 90, 1, 20)" for s in SYMBOLS)
        publish(Path(folder), 2, f"insert into marts.watchlist values {watched}")
        clock = HandClock(OPEN + 30 * MINUTE, speed=settings.live_tick_seconds / burst.seconds)
        with (
            open_live(settings.live_path, settings.published_path) as warehouse,
            socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener,
        ):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
            app = create_app(
                settings, clock, BurstFeed(clock, burst, may_begin), warehouse, QUEUE_SIZE
            )
            stamps = StampingBroadcaster(app.state.service.broadcaster)
            server = uvicorn.Server(server_config(app))
            started = process_time()
            with left_for_pauses():
                asyncio.run(_serve(server, listener, port))
            cpu = process_time() - started
            port.send((stamps.emitted, app.state.service.broadcaster.gaps, cpu))


async def _serve(server: uvicorn.Server, listener: socket.socket, port: Connection) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    port.send(listener.getsockname()[1])
    await asyncio.to_thread(port.recv)
    server.should_exit = True
    await serving


class Client(asyncio.Protocol):
    """A client that costs next to nothing, so that the service is measured: when each signal came.

    It knows of RFC 6455 what the service sends: whole unmasked frames of text, pings, closes.
    """

    def __init__(self, signals: int) -> None:
        self.received: list[float] = []
        self.gaps = 0
        self.opened = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()
        self._signals = signals
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(HANDSHAKE)

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"cut after {len(self.received)} signals"))

    def data_received(self, data: bytes) -> None:
        at = perf_counter()
        self._unread += data
        if not self.opened.done():
            head, end, self._unread = self._unread.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101") and end, head
            self.opened.set_result(None)
        while frame := self._next_frame():
            self._see(*frame, at)

    def _next_frame(self) -> tuple[int, bytes] | None:
        if len(self._unread) < 4:
            return None
        opcode, length, start = self._unread[0] & 15, self._unread[1], 2
        if length == 126:
            length, start = int.from_bytes(self._unread[2:4], "big"), 4
        if len(self._unread) < start + length:
            return None
        payload = self._unread[start : start + length]
        self._unread = self._unread[start + length :]
        return opcode, payload

    def _see(self, opcode: int, payload: bytes, at: float) -> None:
        if opcode == PING:
            mask_of_zeros = bytes(4)
            self.transport.write(
                bytes([0x80 | PONG, 0x80 | len(payload)]) + mask_of_zeros + payload
            )
        elif opcode == TEXT and (seq := SEQ.search(payload)):
            self.received.append(at)
            assert int(seq[1]) == len(self.received), "lost, or out of order"
            if len(self.received) == self._signals:
                self.done.set_result(None)
        elif opcode == TEXT:
            self.gaps += b'"gap"' in payload


async def open_client(port: int, signals: int, *, stalled: bool) -> Client:
    """Connect; for a stalled client its system takes next to nothing either."""
    plain = socket.socket()
    if stalled:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, ("127.0.0.1", port))
    _, client = await loop.create_connection(lambda: Client(signals), sock=plain)
    await client.opened
    if stalled:
        client.transport.pause_reading()
    return client


async def run_clients(
    port: int, may_begin: multiprocessing.synchronize.Event, burst: Burst, clients: int
) -> tuple[list[Client], list[Client]]:
    """Return those that read at once and those that were stalled, after all got everything."""
    quick = [
        await open_client(port, burst.signals, stalled=False) for _ in range(clients * 9 // 10)
    ]
    stalled = [await open_client(port, burst.signals, stalled=True) for _ in range(clients // 10)]
    gc.disable()
    may_begin.set()
    limit = READ_LIMIT_SECONDS + burst.seconds * burst.count
    await asyncio.wait_for(asyncio.gather(*[client.done for client in quick]), limit)
    for client in stalled:
        client.transport.resume_reading()
    await asyncio.wait_for(asyncio.gather(*[client.done for client in stalled]), limit)
    return quick, stalled


def main(clients: int = 1_000, size: int = 10, seconds: float = 1.0, count: int = 25) -> None:
    """Print what the clients waited."""
    allow_clients(clients)
    burst = Burst(size, seconds, count)
    context = multiprocessing.get_context("spawn")
    may_begin, (ours, theirs) = context.Event(), context.Pipe()
    service = context.Process(
        target=run_service, args=(theirs, may_begin, burst, clients), daemon=True
    )
    service.start()
    quick, stalled = asyncio.run(run_clients(ours.recv(), may_begin, burst, clients))
    ours.send("stop")
    emitted, gaps, cpu = ours.recv()
    service.join(10)
    waits = [1e3 * (at - emitted[seq]) for c in quick for seq, at in enumerate(c.received, start=1)]
    p50, p99, longest = np.percentile(waits, [50, 99, 100])
    print(
        f"{clients} clients, {len(stalled)} of them stalled; {size} signals every {seconds:g} s, "
        f"{burst.signals} in all: p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {longest:.0f} ms; "
        f"lost 0 of {len(waits)}; {sum(c.gaps > 0 for c in stalled)} stalled clients were told "
        f"of {gaps} gaps and caught up. The service took {cpu:.1f} s of CPU in all; "
        f"load average of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    typer.run(main)
