"""The live service is killed with -9 again and again while bars arrive and clients listen.

`python -m tests.bench.live_kills --kills 500` prints starts, the time until the service is back,
bars that a reader had been shown and that are gone, signals that are gone or came under two
numbers. Ends with status 1 where one is.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import typer
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from ingest.clock import SimulatedClock
from ingest.settings import ROOT
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from tests.bench.live_market import RULES, free_port, land_morning

START = datetime(2024, 12, 30, 14, 25)
END = datetime(2024, 12, 30, 20, 45)
SPEED = 30
BACK_SECONDS = 10.0
LONGEST_LIFE = 4.0
SHOWN = ("symbol", "bar_at", "open", "high", "low", "close")

Bar = tuple[Any, ...]


@dataclass
class Witness:
    """What clients were shown: bars over HTTP, signals over the WebSocket."""

    port: int
    bars: set[Bar] = field(default_factory=set)
    signals: dict[int, str] = field(default_factory=dict)
    twice: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        """Follow the signals, resuming by seq whenever the service was gone."""
        while not self.is_over.is_set():
            since = max(self.signals, default=0)
            with suppress(OSError, WebSocketException, TimeoutError):
                url = f"ws://127.0.0.1:{self.port}/ws?since={since}"
                with connect(url, proxy=None, open_timeout=2) as socket:
                    while not self.is_over.is_set():
                        with suppress(TimeoutError):
                            self._see(socket.recv(timeout=0.5))
            time.sleep(0.05)

    def _see(self, text: str | bytes) -> None:
        message = json.loads(text)
        if "seq" in message:
            self.twice += message["seq"] in self.signals
            self.signals[message["seq"]] = str(text)

    def read(self, symbols: list[str]) -> None:
        """Read bars of one symbol after the other."""
        with httpx.Client(trust_env=False, timeout=5) as http:
            while not self.is_over.is_set():
                symbol = random.choice(symbols)
                with suppress(httpx.HTTPError):
                    address = f"http://127.0.0.1:{self.port}/bars/{symbol}?limit=30"
                    answer = http.get(address)
                    if answer.status_code == 200:
                        self.bars |= {tuple(bar[name] for name in SHOWN) for bar in answer.json()}
                time.sleep(0.05)


@dataclass
class Tally:
    """What all rounds came to."""

    kills: int = 0
    kills_at_start: int = 0
    first_starts: list[float] = field(default_factory=list)
    """Seconds until the service answers in a folder that is new to it: dbt makes the views."""
    back: list[float] = field(default_factory=list)
    """Seconds until it answers again after a kill."""
    bars: int = 0
    bars_lost: int = 0
    signals: int = 0
    signals_lost: int = 0
    twice: int = 0

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost or doubled, and the service always came back in time."""
        return not (self.bars_lost or self.signals_lost or self.twice) and (
            max(self.back, default=0) <= BACK_SECONDS
        )


def main(kills: int = 500, seed: int = 1, folder: Path | None = None) -> None:
    """Kill the service `kills` times, over as many simulated sessions as that takes."""
    rng, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory(prefix="kills") as scratch:
        morning = (folder or Path(scratch)) / "morning"
        land_morning(morning)
        while tally.kills < kills:
            data_dir = Path(scratch) / f"round_{tally.kills}"
            data_dir.mkdir()
            shutil.copytree(morning / "published", data_dir / "published", symlinks=True)
            run_round(data_dir, kills, rng, tally)
            print(summary(tally), flush=True)
    raise typer.Exit(0 if tally.is_good else 1)


def run_round(data_dir: Path, kills: int, rng: random.Random, tally: Tally) -> None:
    """Kill the service through one session, then compare what clients saw with what is stored."""
    clock = SimulatedClock.starting(START, SPEED)
    with SimulatedServer(GeneratedMarket(), clock, plan="ultimate", keys={"demo"}) as server:
        environment = environment_of(data_dir, server.base_url, clock)
        with witnessed(int(environment["LIVE_PORT"]), data_dir) as witness:
            while tally.kills < kills and clock.now() < END:
                kill_once(environment, data_dir, rng, tally)
            service = started(environment, data_dir)
            tally.back.append(seconds_until_up(service, environment))
            catch_up(witness)
        service.send_signal(signal.SIGTERM)
        service.wait(60)
    compare(data_dir / "live.duckdb", witness, tally)


def environment_of(data_dir: Path, base_url: str, clock: SimulatedClock) -> dict[str, str]:
    """Return the environment of a service on the simulated market."""
    return os.environ | {
        "DATA_DIR": str(data_dir),
        "FMP_BASE_URL": base_url,
        "FMP_API_KEY": "demo",
        "FMP_PLAN": "ultimate",
        "SIMULATED_CLOCK": str(clock),
        "LIVE_PORT": str(free_port()),
        "LIVE_TICK_SECONDS": "10",
        "DBT_VARS": RULES,
    }


def kill_once(
    environment: dict[str, str], data_dir: Path, rng: random.Random, tally: Tally
) -> None:
    """Start the service, let it live for a moment, kill it; one in ten dies while it starts."""
    is_first = not (data_dir / "live.duckdb").exists()
    service = started(environment, data_dir)
    if tally.back and not is_first and rng.random() < 0.1:
        time.sleep(rng.uniform(0, min(tally.back)))
        tally.kills_at_start += 1
    else:
        starts = tally.first_starts if is_first else tally.back
        starts.append(seconds_until_up(service, environment))
        time.sleep(rng.uniform(0, LONGEST_LIFE))
    service.kill()
    service.wait()
    tally.kills += 1


def started(environment: dict[str, str], data_dir: Path) -> subprocess.Popen[bytes]:
    """Start the service; what it says is added to live.log."""
    with (data_dir / "live.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "live", "serve"],
            cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def seconds_until_up(service: subprocess.Popen[bytes], environment: dict[str, str]) -> float:
    """Return the seconds until the service answers."""
    begun = time.monotonic()
    while service.poll() is None and time.monotonic() < begun + 120:
        with suppress(httpx.HTTPError):
            address = f"http://127.0.0.1:{environment['LIVE_PORT']}/"
            httpx.get(address, timeout=30, trust_env=False).raise_for_status()
            return time.monotonic() - begun
        time.sleep(0.02)
    raise SystemExit(f"the service did not come back: {environment['DATA_DIR']}/live.log")


@contextmanager
def witnessed(port: int, data_dir: Path) -> Iterator[Witness]:
    """Have clients watch the service while the context lasts."""
    witness = Witness(port)
    with duckdb.connect(str(data_dir / "published" / "warehouse.duckdb"), read_only=True) as past:
        watched = past.execute(
            "select symbol from marts.watchlist where session_date = $day", {"day": START.date()}
        ).fetchall()
    symbols = [symbol for (symbol,) in watched]
    threads = [
        threading.Thread(target=witness.listen),
        threading.Thread(target=witness.read, args=(symbols,)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield witness
    finally:
        witness.is_over.set()
        for thread in threads:
            thread.join()


def catch_up(witness: Witness) -> None:
    """Wait until the client has every signal there is."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        address = f"http://127.0.0.1:{witness.port}/"
        last = httpx.get(address, timeout=30, trust_env=False).json()["last_seq"]
        if max(witness.signals, default=0) >= last:
            return
        time.sleep(0.2)


def compare(live_path: Path, witness: Witness, tally: Tally) -> None:
    """Count what clients were shown and is not stored, or is stored otherwise."""
    with duckdb.connect(str(live_path), read_only=True) as connection:
        columns = ", ".join(SHOWN).replace("bar_at", "strftime(bar_at, '%Y-%m-%dT%H:%M:%SZ')")
        stored = set(
            connection.execute(
                f"select {columns} from raw.bars_1m union select {columns} from raw.bar_revisions"
            ).fetchall()
        )
        newest = max(witness.signals, default=0)  # what came after it was caught up is not asked
        signals = connection.execute(
            "select seq, payload, symbol, bar_at from raw.signals where seq <= ? order by seq",
            [newest],
        ).fetchall()
    payloads = {seq: payload for seq, payload, *_ in signals}
    tally.bars += len(witness.bars)
    tally.bars_lost += len(witness.bars - stored)
    tally.signals += len(payloads)
    tally.signals_lost += sum(
        payloads.get(seq) != witness.signals.get(seq) for seq in payloads | witness.signals
    )
    tally.signals_lost += len(set(range(1, len(payloads) + 1)) ^ set(payloads))
    tally.twice += witness.twice + len(signals) - len({row[2:] for row in signals})


def summary(tally: Tally) -> str:
    """Return the counts in a line."""
    back = sorted(tally.back)
    return (
        f"{tally.kills} kills ({tally.kills_at_start} while starting); back after a median of "
        f"{back[len(back) // 2]:.1f} s, at most {back[-1]:.1f} s "
        f"(first starts at most {max(tally.first_starts):.1f} s); {tally.bars:,} bars shown, "
        f"{tally.bars_lost} lost; {tally.signals} signals, {tally.signals_lost} lost or changed, "
        f"{tally.twice} sent or stored twice"
    )


if __name__ == "__main__":
    typer.run(main)
