"""The commands: what stops `serve` from starting, the terminal client, and a clean end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import httpx
import pytest
from pydantic import SecretStr
from websockets.sync.server import ServerConnection, serve

from ingest.clock import SimulatedClock
from ingest.settings import ROOT, Settings
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from live.__main__ import _serve
from live.database import SnapshotMissingError
from live.serving import StartError, only_service
from tests.live_fixture import build, publish
from tests.live_server import one_break_out, serving, wait_until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def settings_in(data_dir: Path, **values: object) -> Settings:
    chosen = {"live_port": free_port(), "fmp_api_key": "demo", "simulated_clock": None} | values
    return Settings(data_dir=data_dir, _env_file=None, **chosen)  # type: ignore[arg-type]


def run_live(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "live", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_second_service_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with only_service(tmp_path):
        done = run_live("serve", DATA_DIR=str(tmp_path), FMP_API_KEY="demo")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "already uses" in done.stderr


def test_lock_is_free_again_after_the_service(tmp_path: Path) -> None:
    with only_service(tmp_path):
        pass
    with only_service(tmp_path):
        assert (tmp_path / "live.lock").read_text().strip() == str(os.getpid())


def test_port_in_use_stops_it_before_anything_is_changed(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StartError, match="LIVE_PORT"),
    ):
        _serve(settings_in(tmp_path, live_port=taken.getsockname()[1]))
    assert not (tmp_path / "live.duckdb").exists()


def test_missing_snapshot_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SnapshotMissingError, match="make features"):
        _serve(settings_in(tmp_path))


def test_missing_key_says_what_to_do(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    with pytest.raises(StartError, match="FMP_API_KEY is not set"):
        _serve(settings_in(tmp_path, fmp_api_key=None))


def test_other_hosts_need_a_token(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="LIVE_TOKEN"):
        _serve(settings_in(tmp_path, live_host="0.0.0.0", live_token=SecretStr("")))


def test_wrong_setting_is_one_line() -> None:
    done = run_live("serve", LIVE_PORT="none")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_watch_without_a_server_is_one_line() -> None:
    done = run_live("watch", "--url", f"ws://127.0.0.1:{free_port()}/ws", "--count", "1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "no live service" in done.stderr


SIGNAL = (
    '{"seq": %d, "bar_at": "2025-11-05T15:01:00Z", "symbol": "AAA", "state": "RePump", '
    '"price": 5.67, "move_pct": 3.8, "rvol_1m": 3.2, "base_range_pct": 4.5, "spread_pct": null, '
    '"score": null}'
)


@contextmanager
def server_that(*steps: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Serve one step per connection: send its texts, then hang up; the last one holds on."""
    asked: list[str] = []

    def handle(client: ServerConnection) -> None:
        assert client.request is not None
        asked.append(client.request.path)
        step = steps[min(len(asked), len(steps)) - 1]
        for text in step:
            client.send(text)
        if len(asked) >= len(steps):
            client.recv()

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws", asked
        server.shutdown()
        thread.join(5)


def test_watch_ends_after_count_signals() -> None:
    with server_that([SIGNAL % 1, SIGNAL % 2]) as (url, _):
        done = run_live("watch", "--url", url, "--count", "2")
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (0, 3)
    assert lines[1].split() == [
        "1", "15:01", "AAA", "RePump", "5.67", "3.80", "3.20", "4.50", "-", "-",
    ]  # fmt: skip


def test_watch_reconnects_and_resumes_by_seq() -> None:
    with server_that([SIGNAL % 7], [SIGNAL % 8]) as (url, asked):
        done = run_live("watch", "--url", url, "--count", "2", "--timeout", "50")
    assert done.returncode == 0
    assert asked[:2] == ["/ws", "/ws?since=7"]


HEARTBEAT = '{"type": "heartbeat", "t": "2025-11-05T15:01:00.000Z", "last_seq": %d, "status": "%s"}'


def test_watch_resumes_by_the_heartbeat_too() -> None:
    with server_that([HEARTBEAT % (5, "ok")], [SIGNAL % 6]) as (url, asked):
        done = run_live("watch", "--url", url, "--count", "1", "--symbols", "AAA,BBB")
    assert done.returncode == 0
    assert asked[:2] == ["/ws?symbols=AAA,BBB", "/ws?since=5&symbols=AAA,BBB"]


def test_watch_tells_that_the_service_is_degraded() -> None:
    texts = [HEARTBEAT % (1, "degraded"), HEARTBEAT % (1, "degraded"), SIGNAL % 2]
    with server_that(texts) as (url, _):
        done = run_live("watch", "--url", url, "--count", "1")
    assert done.stdout.count("the service is degraded") == 1


def test_watch_that_is_refused_says_why(tmp_path: Path) -> None:
    settings = build(tmp_path).model_copy(update={"live_max_clients": 5})
    with serving(settings) as running:
        done = run_live("watch", "--url", f"{running.ws}?states=Pumped", "--count", "1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Pumped" in done.stderr


def test_watch_shows_the_token_and_resumes_a_real_service(tmp_path: Path) -> None:
    secret = {"live_host": "0.0.0.0", "live_token": SecretStr("secret")}
    with serving(build(tmp_path).model_copy(update=secret)) as running:
        wait_until(lambda: running.service.monitor.is_open)
        one_break_out(running)
        wait_until(lambda: running.service.broadcaster.last_seq == 1)
        arguments = ("watch", "--url", running.ws, "--since", "0", "--count", "1")
        assert run_live(*arguments, LIVE_TOKEN="secret").returncode == 0
        refused = run_live(*arguments, LIVE_TOKEN="wrong")
    assert (refused.returncode, "set LIVE_TOKEN" in refused.stderr) == (1, True)


def test_watch_gives_up_at_its_timeout() -> None:
    with server_that([SIGNAL % 1]) as (url, _):
        done = run_live("watch", "--url", url, "--count", "2", "--timeout", "3")
    assert done.returncode == 1
    assert done.stderr == "1 of 2 signals within 3 s\n"


def test_ctrl_c_ends_watching_cleanly() -> None:
    with server_that([SIGNAL % 1]) as (url, asked):
        client = subprocess.Popen(
            [sys.executable, "-m", "live", "watch", "--url", url],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert client.stdout is not None
        client.stdout.readline()
        client.stdout.readline()
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=30)
    assert (client.returncode, "Traceback" in said, len(asked)) == (0, False, 1)


def test_service_watches_the_simulated_market_until_sigterm(
    generated: Path, tmp_path: Path
) -> None:
    shutil.copytree(generated / "published", tmp_path / "published", symlinks=True)
    clock = SimulatedClock.starting(datetime(2024, 12, 30, 15, 40), 60)
    port = free_port()
    with SimulatedServer(GeneratedMarket(), clock, plan="ultimate", keys={"demo"}) as server:
        environment = os.environ | {
            "DATA_DIR": str(tmp_path),
            "FMP_BASE_URL": server.base_url,
            "FMP_API_KEY": "demo",
            "FMP_PLAN": "ultimate",
            "SIMULATED_CLOCK": str(clock),
            "LIVE_PORT": str(port),
            "LIVE_TICK_SECONDS": "20",
        }
        service = subprocess.Popen(
            [sys.executable, "-m", "live", "serve"],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            health = wait_for_bars(f"http://127.0.0.1:{port}/")
            service.send_signal(signal.SIGTERM)
            said, _ = service.communicate(timeout=30)
        finally:
            service.kill()
    assert (service.returncode, health["failures"]) == (0, {}), said
    assert "Traceback" not in said
    with duckdb.connect(str(tmp_path / "live.duckdb"), read_only=True) as connection:
        found = connection.execute("select count(distinct symbol) from raw.bars_1m").fetchall()
    assert found == [(health["watchlist"],)]


def wait_for_bars(address: str) -> dict[str, object]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            health = httpx.get(address, timeout=60, trust_env=False).json()
        except httpx.TransportError:
            health = {}
        if health.get("lag_seconds") is not None:
            return health  # type: ignore[no-any-return]
        time.sleep(0.2)
    raise AssertionError("no bar came")
