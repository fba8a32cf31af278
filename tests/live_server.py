"""The service on loopback over a small live database, and what drives it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import uvicorn
from litestar import Litestar
from websockets.sync.client import ClientConnection

from ingest.settings import Settings
from live.app import create_app
from live.feeds import Feed
from live.service import Service
from live.serving import server_config
from live.warehouse import open_live
from tests.live_fixture import OPEN, HandClock, ListFeed, bars

T = OPEN + timedelta(minutes=30)


@dataclass
class Running:
    """A service that is served, and what drives it."""

    address: str
    clock: HandClock
    feed: Any
    """A ListFeed, unless another one was given."""
    service: Service
    loop: asyncio.AbstractEventLoop

    @property
    def ws(self) -> str:
        return f"ws://{self.address}/ws"

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"http://{self.address}{path}", headers=headers, trust_env=False)

    def sql(self, query: str, **more: object) -> httpx.Response:
        body = {"query": query, **more}
        url = f"http://{self.address}/sql"
        return httpx.post(url, json=body, trust_env=False, timeout=60)


def wait_until(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def serving(
    settings: Settings,
    queue_size: int = 256,
    fault: str | None = None,
    port: int = 0,
    *,
    clock: HandClock | None = None,
    feed: Feed | None = None,
) -> Iterator[Running]:
    clock, feed = clock or HandClock(T, speed=100), feed or ListFeed()
    with open_live(settings.live_path, settings.published_path) as warehouse:
        app = create_app(settings, clock, feed, warehouse, queue_size, fault=fault)
        with served(app, port) as (address, loop):
            yield Running(address, clock, feed, app.state.service, loop)


@contextmanager
def served(app: Litestar, port: int = 0) -> Iterator[tuple[str, asyncio.AbstractEventLoop]]:
    """Serve an app on loopback, in a thread; yield host:port and the thread's loop."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = uvicorn.Server(server_config(app))
        loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=loop.run_until_complete, args=[server.serve(sockets=[listener])]
        )
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"127.0.0.1:{listener.getsockname()[1]}", loop
        finally:
            server.should_exit = True
            thread.join(10)
            loop.close()


def one_break_out(running: Running) -> None:
    running.feed.bars = bars("AAA", running.clock.at, [5.0, 5.2])
    running.clock.at += timedelta(minutes=2)


def seqs(client: ClientConnection, count: int) -> list[int]:
    return [json.loads(client.recv(timeout=10))["seq"] for _ in range(count)]
