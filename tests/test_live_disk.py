"""The real service, killed, on a torn log, and on a disk that fills up and has room again."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path

import duckdb
import httpx
import pytest

from ingest.clock import SimulatedClock
from ingest.settings import ROOT, Settings
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from live.recorded import change_rules
from live.views import ensure_views
from live.warehouse import open_live
from tests.bench.live_kills import Witness
from tests.test_live_main import free_port

DAY = date(2024, 12, 30)
START = datetime(2024, 12, 30, 15, 40)
SPEED = 60
EVERY_MINUTE = {
    "gap_min": -1, "rvol_min": 0, "base_range_max": 9, "move_min": -1, "spread_max": 9,
    "cooldown_min": 1,
}  # fmt: skip
"""Rules that nearly every bar passes."""
LONGEST_WAIT = 60.0


@dataclass
class Served:
    """A running `live serve`, its log and its address."""

    process: subprocess.Popen[str]
    data_dir: Path
    address: str

    @property
    def said(self) -> str:
        return (self.data_dir / "live.log").read_text()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", trust_env=False, timeout=30)

    def problems(self) -> dict[str, str]:
        return dict(self.get("/").json()["problems"])

    def signals(self) -> dict[int, Mapping[str, object]]:
        return {signal["seq"]: signal for signal in self.get("/signals?limit=5000").json()}

    def wait_for(self, condition: object) -> None:
        deadline = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if condition():  # type: ignore[operator]
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.said[-2000:])


@contextmanager
def market() -> Iterator[dict[str, str]]:
    """Serve the simulated market; yield the environment of a service on it."""
    clock = SimulatedClock.starting(START, SPEED)
    with SimulatedServer(GeneratedMarket(), clock, plan="ultimate") as server:
        yield os.environ | {
            "FMP_BASE_URL": server.base_url,
            "FMP_API_KEY": "demo",
            "FMP_PLAN": "ultimate",
            "SIMULATED_CLOCK": str(clock),
            "LIVE_TICK_SECONDS": "20",
            "LIVE_MIN_FREE_MB": "1",
        }


@contextmanager
def serve(data_dir: Path, environment: dict[str, str]) -> Iterator[Served]:
    port = str(free_port())
    with (data_dir / "live.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "live", "serve"],
            cwd=ROOT, env=environment | {"DATA_DIR": str(data_dir), "LIVE_PORT": port},
            stdout=log, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    try:
        yield Served(process, data_dir, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def morning(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory with the views made, and rules that give signals by the minute."""
    data_dir = tmp_path_factory.mktemp("disk")
    shutil.copytree(generated / "published", data_dir / "published", symlinks=True)
    change_rules((data_dir / "published" / "warehouse.duckdb").resolve(), EVERY_MINUTE)
    ensure_views(Settings(data_dir=data_dir, _env_file=None))  # type: ignore[call-arg]
    return data_dir


@dataclass
class Killed:
    """What a service left that was killed while it wrote, and the signals that it had shown."""

    data_dir: Path
    payloads: list[str]
    """In the order of seq."""
    log: bytes = b""
    """live.duckdb.wal: all of them are in it."""

    def copy(self, target: Path) -> Path:
        """Copy the data directory; the snapshot is the same."""
        target.mkdir(exist_ok=True)
        (target / "published").symlink_to((self.data_dir / "published").resolve())
        for path in self.data_dir.glob("live.duckdb*"):
            shutil.copyfile(path, target / path.name)
        return target / "live.duckdb.wal"


@pytest.fixture(scope="module")
def killed(morning: Path, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    data_dir = tmp_path_factory.mktemp("killed")
    Killed(morning, []).copy(data_dir)
    with market() as environment, serve(data_dir, environment) as served:
        served.wait_for(lambda: len({signal["t"] for signal in served.signals().values()}) > 4)
        shown = served.signals()
        served.process.send_signal(signal.SIGKILL)
        served.process.wait()
    payloads = stored(data_dir)
    assert shown.keys() <= payloads.keys()
    log = (data_dir / "live.duckdb.wal").read_bytes()
    return Killed(data_dir, list(payloads.values()), log)


def stored(data_dir: Path) -> dict[int, str]:
    """Return the payloads in a copy of a live database, by seq."""
    copy = data_dir / "copy"
    copy.mkdir()
    for path in data_dir.glob("live.duckdb*"):
        shutil.copyfile(path, copy / path.name)
    with duckdb.connect(str(copy / "live.duckdb")) as connection:
        rows = connection.execute("select seq, payload from raw.signals order by seq").fetchall()
    shutil.rmtree(copy)
    return dict(rows)


def read_in(killed: Killed, target: Path, log: bytes) -> list[str]:
    """Open what was left with another log; return the payloads of the signals that are there."""
    killed.copy(target).write_bytes(log)
    snapshot = killed.data_dir / "published" / "warehouse.duckdb"
    with open_live(target / "live.duckdb", snapshot) as warehouse:
        return [message.text for message in warehouse.signals_since(0)]


def batches(payloads: list[str]) -> list[list[str]]:
    """Return the signals by the transaction that stored them: each has a moment of its own."""
    return [list(batch) for _, batch in groupby(payloads, lambda text: json.loads(text)["t"])]


@pytest.mark.parametrize("torn", [-1, -2, -3])
def test_torn_log_loses_no_signal_before_the_tear(
    killed: Killed, tmp_path: Path, torn: int
) -> None:
    *_, whole, (*_, last) = batches(killed.payloads)[: len(batches(killed.payloads)) + torn + 1]
    at = killed.log.index(last.encode()) + len(last) // 2
    found = read_in(killed, tmp_path, killed.log[:at])
    assert found == killed.payloads[: killed.payloads.index(whole[-1]) + 1]


def test_garbage_after_the_log_loses_nothing(killed: Killed, tmp_path: Path) -> None:
    garbage = bytes(range(256)) * 3
    assert read_in(killed, tmp_path, killed.log + garbage) == killed.payloads


def test_torn_log_is_taken_up_by_the_next_start(killed: Killed, tmp_path: Path) -> None:
    wal = killed.copy(tmp_path)
    wal.write_bytes(killed.log[:-7])
    with market() as environment, serve(tmp_path, environment) as served:
        served.wait_for(lambda: served.get("/").json()["last_seq"] > len(killed.payloads))
        texts = [json.dumps(signal) for signal in served.signals().values()]
    kept = [json.loads(payload) for payload in killed.payloads[:15]]
    assert [json.loads(text) for text in texts[:15]] == kept
    assert "Traceback" not in served.said


def test_damaged_log_stops_the_start_with_the_way_on(killed: Killed, tmp_path: Path) -> None:
    wal = killed.copy(tmp_path)
    *_, whole, (*_, last) = batches(killed.payloads)[:-1]
    at = killed.log.index(last.encode()) + 10
    wal.write_bytes(killed.log[:at] + b"#" + killed.log[at + 1 :])
    with market() as environment, serve(tmp_path, environment) as served:
        assert served.process.wait(LONGEST_WAIT) == 1
    (line,) = served.said.strip().splitlines()
    command = re.search("`(.+)`", line)
    assert command is not None
    subprocess.run(command[1], shell=True, check=True)
    kept = killed.payloads[: killed.payloads.index(whole[-1]) + 1]
    assert list(stored(tmp_path).values()) == kept


Room = Callable[[Served], AbstractContextManager[None]]


@contextmanager
def full_disk(served: Served) -> Iterator[None]:
    """Leave no room on the disk of the data directory."""
    filler = served.data_dir / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def no_file_grows(served: Served) -> Iterator[None]:
    """Let the service write no file beyond the size that its log has."""
    size = (served.data_dir / "live.duckdb.wal").stat().st_size
    pid, kind = served.process.pid, resource.RLIMIT_FSIZE
    limits = resource.prlimit(pid, kind, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, limits)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 MB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk (root)")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def outlive_a_full_disk(data_dir: Path, morning: Path, full: Room) -> None:
    """Serve, take the room away for a while, and hold what was sent against what is stored."""
    Killed(morning, []).copy(data_dir)
    with market() as environment, serve(data_dir, environment) as served:
        served.wait_for(lambda: served.get("/").json()["last_seq"] > 5)
        witness = Witness(int(served.address.rpartition(":")[2]))
        listening = threading.Thread(target=witness.listen)
        listening.start()
        with full(served):
            served.wait_for(lambda: "make room" in served.problems().get("tick", ""))
            assert served.get("/health/ready").status_code == 503
            before = served.get("/").json()
            served.wait_for(
                lambda: served.get("/").json()["counts"]["ticks"] > before["counts"]["ticks"] + 8
            )
            assert served.get("/").json()["last_seq"] == before["last_seq"]
        served.wait_for(lambda: served.get("/").json()["last_seq"] > before["last_seq"] + 10)
        served.wait_for(lambda: "tick" not in served.problems())
        watched = [row["symbol"] for row in served.get("/watchlist").json()["symbols"]]
        until = datetime.fromisoformat(served.get("/").json()["now"]).replace(tzinfo=None)
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(LONGEST_WAIT)
        witness.is_over.set()
        listening.join()
    assert "Traceback" not in served.said
    assert witness.signals.items() <= stored(data_dir).items()
    assert max(witness.signals) > before["last_seq"]
    assert landed(data_dir) >= traded(watched, until - timedelta(minutes=5))


def landed(data_dir: Path) -> set[tuple[str, datetime, float]]:
    """Return symbol, bar_at and close of the bars in a live database."""
    with duckdb.connect(str(data_dir / "live.duckdb")) as connection:
        return set(connection.execute("select symbol, bar_at, close from raw.bars_1m").fetchall())


def traded(symbols: list[str], until: datetime) -> set[tuple[str, datetime, float]]:
    """Return the market's bars of the day before a moment."""
    market = GeneratedMarket()
    return {
        (symbol, bar["bar_at"].item(), float(bar["close"]))
        for symbol in symbols
        for bar in market.minutes(symbol, DAY)
        if bar["bar_at"].item() < until
    }


def test_full_disk_is_outlived_without_a_restart(morning: Path, small_disk: Path) -> None:
    outlive_a_full_disk(small_disk, morning, full_disk)


def test_file_limit_is_outlived_without_a_restart(morning: Path, tmp_path: Path) -> None:
    outlive_a_full_disk(tmp_path, morning, no_file_grows)
