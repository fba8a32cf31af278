"""The service over real sockets: routes, the WebSocket, resumption, slow clients, access."""

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
from pathlib import Path

import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from ingest.settings import Settings
from live.app import create_app
from live.service import Service
from live.warehouse import open_live
from tests.live_fixture import OPEN, HandClock, ListFeed, bars, build

T = OPEN + timedelta(minutes=30)


@dataclass
class Running:
    """A service that is served, and what drives it."""

    address: str
    clock: HandClock
    feed: ListFeed
    service: Service
    loop: asyncio.AbstractEventLoop

    @property
    def ws(self) -> str:
        return f"ws://{self.address}/ws"

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"http://{self.address}{path}", headers=headers, trust_env=False)


def wait_until(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def serving(settings: Settings, queue_size: int = 256) -> Iterator[Running]:
    clock, feed = HandClock(T, speed=100), ListFeed()
    with (
        open_live(settings.live_path, settings.published_path) as warehouse,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        app = create_app(settings, clock, feed, warehouse, queue_size)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=loop.run_until_complete, args=[server.serve(sockets=[listener])]
        )
        thread.start()
        try:
            wait_until(lambda: server.started)
            port = listener.getsockname()[1]
            yield Running(f"127.0.0.1:{port}", clock, feed, app.state.service, loop)
        finally:
            server.should_exit = True
            thread.join(10)
            loop.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return build(tmp_path)


@pytest.fixture
def running(settings: Settings) -> Iterator[Running]:
    with serving(settings) as service:
        wait_until(lambda: service.service.monitor.is_open)
        yield service


def one_break_out(running: Running) -> None:
    running.feed.bars = bars("AAA", running.clock.at, [5.0, 5.2])
    running.clock.at += timedelta(minutes=2)


def seqs(client: ClientConnection, count: int) -> list[int]:
    return [json.loads(client.recv(timeout=10))["seq"] for _ in range(count)]


def test_signal_reaches_the_websocket(running: Running) -> None:
    with connect(running.ws) as client:
        one_break_out(running)
        signal = json.loads(client.recv(timeout=10))
    assert (signal["seq"], signal["symbol"], signal["state"]) == (1, "AAA", "RePump")


def test_since_replays_what_was_missed(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: running.service.broadcaster.last_seq == 1)
    running.feed.bars += bars("BRK-B", running.clock.at, [5.0, 5.2])
    running.clock.at += timedelta(minutes=2)
    wait_until(lambda: running.service.broadcaster.last_seq == 2)
    with connect(f"{running.ws}?since=1") as client:
        assert seqs(client, 1) == [2]


def test_signals_route_has_the_websockets_payloads(running: Running) -> None:
    with connect(running.ws) as client:
        one_break_out(running)
        sent = client.recv(timeout=10)
    assert running.get("/signals?since=0").text == f"[{sent}]"


def test_stored_signals_survive_a_restart(settings: Settings) -> None:
    with serving(settings) as first:
        one_break_out(first)
        wait_until(lambda: first.service.broadcaster.last_seq == 1)
    with serving(settings) as second, connect(f"{second.ws}?since=0") as client:
        assert seqs(client, 1) == [1]


def test_stalled_client_is_told_its_gap_and_delays_nobody(running: Running) -> None:
    big = "x" * 40_000
    stored = [(seq, json.dumps({"seq": seq, "pad": big})) for seq in range(1, 601)]
    running.service.warehouse.signals_since = (  # type: ignore[method-assign]
        lambda seq, limit=500: [message for message in stored if message[0] > seq][:limit]
    )
    broadcaster = running.service.broadcaster
    with (
        connect(running.ws, max_queue=1, compression=None) as stalled,
        connect(running.ws) as quick,
    ):
        wait_until(lambda: broadcaster.clients == 2)
        for message in stored:
            running.loop.call_soon_threadsafe(broadcaster.publish, message)
            if message[0] % 50 == 0:
                assert seqs(quick, 50)[-1] == message[0]
        received = [json.loads(stalled.recv(timeout=10)) for _ in range(601)]
    gaps = [message for message in received if "type" in message]
    assert [gap["type"] for gap in gaps] == ["gap"]
    assert [m["seq"] for m in received if "seq" in m] == [seq for seq, _ in stored]


def test_health_tells_session_and_newest_bar(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: running.service.monitor.newest_bar_at is not None)
    health = running.get("/").json()
    assert (health["status"], health["session_segment"]) == ("ok", "RTH")
    assert health["last_bar_at"] == {"fmp": "2025-11-05T15:01:00Z"}


def test_watchlist_is_the_sessions(running: Running) -> None:
    answer = running.get("/watchlist").json()
    assert answer["session_date"] == "2025-11-05"
    assert [row["symbol"] for row in answer["symbols"]] == ["AAA", "BRK-B"]


def test_bars_and_features_are_the_views(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: running.service.monitor.newest_bar_at is not None)
    (newest,) = running.get("/features/aaa").json()
    assert (newest["rvol_1m"], newest["state"], newest["bar_at"]) == (
        3.2, "RePump", "2025-11-05T15:01:00Z",
    )  # fmt: skip
    assert [row["close"] for row in running.get("/bars/AAA").json()] == [5.0, 5.2]


def test_class_shares_are_found_by_either_spelling(running: Running) -> None:
    assert running.get("/bars/brk.b").json() == []


def test_unknown_symbol_is_told_in_one_line(running: Running) -> None:
    answer = running.get("/features/NOPE")
    assert (answer.status_code, answer.json()["detail"]) == (
        404, "NOPE is not on the watchlist (see /watchlist)",
    )  # fmt: skip


def test_schema_and_metrics_are_served(running: Running) -> None:
    assert "/watchlist" in running.get("/schema").json()["paths"]
    assert "repump_ticks_total" in running.get("/metrics").text


def test_negative_since_is_refused(running: Running) -> None:
    assert running.get("/signals?since=-1").status_code == 400


def test_foreign_page_is_refused(running: Running) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(running.ws, origin="https://elsewhere.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403
    assert running.get("/", origin="https://elsewhere.example").status_code == 403


def test_own_page_is_let_in(running: Running) -> None:
    with connect(running.ws, origin=f"http://{running.address}"):  # type: ignore[arg-type]
        wait_until(lambda: running.service.broadcaster.clients == 1)


def test_foreign_host_name_is_refused(running: Running) -> None:
    assert running.get("/", host="elsewhere.example").status_code == 403


@pytest.mark.parametrize(
    ("sent", "status"), [({}, 401), ({"authorization": "Bearer wrong"}, 401),
                         ({"authorization": "Bearer secret"}, 200)]
)  # fmt: skip
def test_other_addresses_need_the_token(
    settings: Settings, sent: dict[str, str], status: int
) -> None:
    open_to_all = settings.model_copy(
        update={"live_host": "0.0.0.0", "live_token": SecretStr("secret")}
    )
    with serving(open_to_all) as running:
        assert running.get("/", **sent).status_code == status


def test_disconnected_client_is_forgotten(running: Running) -> None:
    with connect(running.ws):
        wait_until(lambda: running.service.broadcaster.clients == 1)
    wait_until(lambda: running.service.broadcaster.clients == 0)


def test_event_loop_serves_while_a_tick_blocks(running: Running) -> None:
    blocked, release = threading.Event(), threading.Event()

    def slow_poll(*_: object) -> None:
        blocked.set()
        release.wait(10)
        raise RuntimeError("the provider hung")

    running.feed.poll = slow_poll  # type: ignore[assignment,method-assign]
    assert blocked.wait(10)
    assert running.get("/").status_code == 200
    release.set()
    wait_until(lambda: "the provider hung" in running.service.monitor.problems.get("tick", ""))
