"""A tick of the live service: from bars handed over to signals on the sockets.

`python -m tests.bench.tick [SYMBOLS ...]` serves a live database with a full day of bars, hands it
one minute of all symbols after the other, and takes the time until a WebSocket client in a process
of its own has the minute's first and last signal. One symbol in ten breaks out in each minute.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import queue
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from multiprocessing.queues import Queue
from pathlib import Path
from statistics import median

import duckdb
import httpx
import pyarrow as pa
import typer
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from ingest.settings import Settings
from live.app import create_app
from live.feeds import Polled
from live.serving import listening_socket
from live.sessions import Session
from live.warehouse import open_live
from tests.bench.warehouse import dbt_run, landed, make_today

MINUTE = timedelta(minutes=1)
MINUTES = 26
"""Minutes that are handed over; the first warms the service up."""

RULES = {"gap_min": 0, "base_range_max": 10, "spread_max": 10, "cooldown_min": 1}
"""A breakout of this market passes these rules; the scanner takes every symbol."""
SCANNER = {"score_min": 0, "atr5_pct_min": 0, "min_dollar_volume_20d": 0, "market_cap_min": 0}

TARGETS_MS = {50: 50, 500: 300, 8000: 1000}


class HandedFeed:
    """A feed that waits for the next minute's bars; its clock stands a second after their end."""

    provider = "fmp"
    notes: Sequence[str] = ()
    speed = 1e6

    def __init__(self, start: datetime) -> None:
        self.at = start
        self.handed_at = 0.0
        self._minutes: queue.Queue[pa.Table | None] = queue.Queue()

    def now(self) -> datetime:
        return self.at

    def hand(self, bars: pa.Table) -> None:
        self._minutes.put(bars)

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        bars = self._minutes.get()
        if bars is None:
            return Polled()
        self.at = bars["bar_at"][0].as_py() + MINUTE + timedelta(seconds=1)
        self.handed_at = time.monotonic()
        return Polled(bars=[bars])

    def close(self) -> None:
        self._minutes.put(None)


def listen(url: str, received: Queue[tuple[int, float]]) -> None:
    """Put the seq of every signal, and when it came, into `received`."""
    with connect(url, proxy=None, max_size=None) as socket:
        received.put((0, time.monotonic()))
        for text in socket:
            came_at = time.monotonic()
            message = json.loads(text)
            if "seq" in message:
                received.put((message["seq"], came_at))


def main(symbols: list[int] = typer.Argument(None), folder: Path | None = None) -> None:  # noqa: B008
    """Measure a tick for each number of symbols."""
    with tempfile.TemporaryDirectory(prefix="bench") as scratch:
        for count in symbols or TARGETS_MS:
            measure((folder or Path(scratch)) / f"tick_{count}", count)


def measure(data_dir: Path, symbols: int) -> None:
    """Serve, hand over minutes, and print the medians."""
    rules = json.dumps(RULES | SCANNER | {"watchlist_size": symbols})
    landed(data_dir, symbols, 7)
    dbt_run(data_dir, "--full-refresh", "--vars", rules)
    for path in data_dir.glob("live.duckdb*"):
        path.unlink()
    make_today(data_dir)
    dbt_run(data_dir, "--target", "live", "--select", "tag:live", "--vars", rules)
    settings = Settings(data_dir=data_dir, live_port=0, live_token=None, _env_file=None)  # type: ignore[call-arg]
    session, bars = take_minutes(data_dir, symbols)
    with open_live(settings.live_path, settings.published_path) as warehouse:
        warehouse.freshen(session, bars[0]["bar_at"][0].as_py() - timedelta(days=1))
        feed = HandedFeed(bars[0]["bar_at"][0].as_py())
        app = create_app(settings, feed, feed, warehouse)
        with listening_socket(settings) as listener:
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
            thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
            thread.start()
            address = f"127.0.0.1:{listener.getsockname()[1]}"
            try:
                report(symbols, hand_over(f"ws://{address}/ws", feed, bars))
                print("  " + stages(address), flush=True)
            finally:
                feed.close()
                server.should_exit = True
                thread.join()


def take_minutes(data_dir: Path, symbols: int) -> tuple[date, list[pa.Table]]:
    """Take the last minutes out of live.duckdb; return the session and a table for each.

    In each minute another tenth of the symbols jumps 5 % on a thousand times the volume.
    """
    with duckdb.connect(str(data_dir / "live.duckdb")) as connection:
        ((session_date, newest),) = connection.execute(
            "select max(session_date), max(bar_at) from raw.bars_1m"
        ).fetchall()
        minutes = []
        for number in range(MINUTES):
            bars = connection.sql(
                "select symbol, session_date, bar_at, open, high * jump as high, low, "
                "close * jump as close, volume * if(jump > 1, 1000, 1) as volume "
                "from (select *, if(substr(symbol, 2)::integer % 10 = $number % 10, "
                "1.05, 1.0) as jump from raw.bars_1m where bar_at = $bar_at)",
                params={"bar_at": newest - (MINUTES - 1 - number) * MINUTE, "number": number},
            )
            minutes.append(bars.to_arrow_table())
        connection.execute(
            "delete from raw.bars_1m where bar_at >= $first",
            {"first": minutes[0]["bar_at"][0].as_py()},
        )
    return session_date, minutes


def hand_over(
    url: str, feed: HandedFeed, minutes: list[pa.Table]
) -> list[tuple[float, float, int]]:
    """Return, of each minute but the first, when its first and last signal came, and how many."""
    received: Queue[tuple[int, float]] = multiprocessing.get_context("spawn").Queue()
    client = multiprocessing.get_context("spawn").Process(
        target=listen, args=(url, received), daemon=True
    )
    client.start()
    received.get(timeout=60)
    times = []
    for bars in minutes:
        feed.hand(bars)
        came_at = [received.get(timeout=120)[1]]
        while True:
            try:
                came_at.append(received.get(timeout=0.5)[1])
            except queue.Empty:
                break
        times.append((came_at[0] - feed.handed_at, came_at[-1] - feed.handed_at, len(came_at)))
    client.terminate()
    return times[1:]


def stages(address: str) -> str:
    """Return the mean milliseconds of each stage of a tick, the first one's included."""
    text = httpx.get(f"http://{address}/metrics", trust_env=False, timeout=30).text
    samples = {
        (sample.name.rpartition("_")[2], sample.labels["stage"]): sample.value
        for family in text_string_to_metric_families(text)
        if family.name == "repump_stage_seconds"
        for sample in family.samples
    }
    ticks = samples["count", "land"]
    return "a tick: " + ", ".join(
        f"{stage} {samples['sum', stage] / ticks * 1000:.1f} ms"
        for kind, stage in samples
        if kind == "count" and stage != "fetch" and stage != "tick"
    )


def report(symbols: int, times: list[tuple[float, float, int]]) -> None:
    """Print the medians beside the target."""
    first, last, signals = (median(column) for column in zip(*times, strict=True))
    print(
        f"{symbols:,} symbols: bars handed over to the first signal received "
        f"{first * 1000:.0f} ms, to the last of {signals:.0f} signals {last * 1000:.0f} ms "
        f"(medians of {len(times)}; target {TARGETS_MS.get(symbols, 0)} ms)",
        flush=True,
    )


if __name__ == "__main__":
    typer.run(main)
