"""`make demo`: the main job on a simulated market, from nothing to live signals on screen.

It fills DATA_DIR as a user's morning would (ingest, dbt, training), then starts the live service
and a terminal client on the same market, whose clock runs SPEED times as fast from shortly before
the open. Each of its data directories carries a mark, so that it never touches one with real data.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import duckdb
import requests
import typer
import yaml
from rich.console import Console

from ingest.calendar import market_calendar
from ingest.clock import SimulatedClock
from ingest.settings import DEMO_MARK, ROOT, Settings
from ingest.simulator.files import FileMarket
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.market import Market
from ingest.simulator.server import SimulatedServer

SESSION = date(2025, 11, 5)
KEY = "demo"
TICK_SECONDS = 20
"""At speed 60 a third of a second: three looks at each minute."""

START_SECONDS = 20
"""Real seconds that the live service gets to start before the part of the session that is shown."""

VARS = {"lookback_days": 40}
FILE_VARS = VARS | {
    "market_cap_min": 0,
    "market_cap_max": 1e15,
    "atr5_pct_min": 0,
    "min_dollar_volume_20d": 0,
    "score_min": 0,
}
"""Files hold few symbols, so the scanner takes what trades at its prices."""

console = Console(highlight=False)


class DemoError(RuntimeError):
    """The demo can't go on; the message says why and what to do."""


@dataclass(frozen=True)
class Show:
    """What is shown: a market, a session of it, and from when."""

    market: Market
    session_date: date
    morning_at: datetime
    """When the morning's jobs run: three hours before the open, or before the first bar shown."""
    live_at: datetime
    end_at: datetime
    dbt_vars: dict[str, object]


def main(
    *,
    signals: Annotated[int | None, typer.Option(envvar="SIGNALS")] = None,
    bars_1m: Annotated[Path | None, typer.Option(envvar="BARS_1M")] = None,
    bars_1d: Annotated[Path | None, typer.Option(envvar="BARS_1D")] = None,
    profiles: Annotated[Path | None, typer.Option(envvar="PROFILES")] = None,
    session: Annotated[datetime | None, typer.Option(envvar="SESSION")] = None,
    speed: Annotated[float, typer.Option(envvar="SPEED")] = 60.0,
) -> None:
    """Run the main job on a simulated market, until Ctrl-C or until SIGNALS have been seen."""
    live: subprocess.Popen[bytes] | None = None
    try:
        settings = Settings(simulated_clock=None)
        session_date = session.date() if session else SESSION
        show = _plan(session_date, bars_1m, bars_1d, profiles)
        _take_over(settings.data_dir)
        _prepare(show, settings)
        start_at = show.live_at - timedelta(seconds=START_SECONDS * speed)
        with _market(show, start_at, speed, settings) as environment:
            live = _start_service(environment, settings)
            _watch(show, environment, settings, signals, speed)
    except KeyboardInterrupt:
        console.print("\n[bold]Stopped.[/] The data stays for you to look at: see data/README.md")
    except (DemoError, ValueError, OSError) as error:
        Console(stderr=True).print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
    finally:
        _end(live)


def _plan(
    session_date: date, bars_1m: Path | None, bars_1d: Path | None, profiles: Path | None
) -> Show:
    year = market_calendar(date(session_date.year, 1, 1), date(session_date.year, 12, 31))
    times = next((row for row in year.to_pylist() if row["session_date"] == session_date), None)
    if times is None:
        raise DemoError(f"{session_date} is no session of the exchange: choose another SESSION")
    dbt_vars: dict[str, object] = dict(FILE_VARS if bars_1m else VARS)
    dbt_vars |= yaml.safe_load(os.environ.get("DBT_VARS") or "{}")
    morning_at, live_at = times["open_at"] - timedelta(hours=2.5), times["open_at"]
    market: Market = GeneratedMarket()
    if bars_1m:
        live_at = _first_bar(bars_1m, times["pre_open_at"], times["post_close_at"])
        morning_at = min(morning_at, live_at - timedelta(minutes=30))
        market = FileMarket(bars_1m=bars_1m, bars_1d=bars_1d, profiles=profiles)
    return Show(
        market,
        session_date,
        morning_at,
        live_at - timedelta(minutes=5),
        times["post_close_at"],
        dbt_vars,
    )


def _first_bar(bars_1m: Path, start: datetime, end: datetime) -> datetime:
    try:
        first: datetime | None = duckdb.execute(
            "select min(bar_at) from query_table($file) where bar_at >= $start and bar_at < $end",
            {"file": str(bars_1m), "start": start, "end": end},
        ).fetchall()[0][0]
    except duckdb.Error as error:
        raise DemoError(f"BARS_1M={bars_1m} can't be read: {error}") from error
    if first is None:
        raise DemoError(
            f"{bars_1m} has no bars in the session {start.date()}: choose another SESSION"
        )
    return first


def _take_over(data_dir: Path) -> None:
    """Empty the directory of an earlier demo; refuse one that holds anything else."""
    mark = data_dir / DEMO_MARK
    made = [*data_dir.glob("*.duckdb*"), *data_dir.glob("*.parquet"), *data_dir.glob("*.json")]
    made += [*data_dir.glob("model_lgbm_*.bin"), data_dir / "published", data_dir / "models"]
    if (data_dir / "warehouse.duckdb").exists() and not mark.exists():
        raise DemoError(
            f"{data_dir} holds a warehouse of your own, which a demo would overwrite: "
            "run make demo DATA_DIR=/tmp/repump-demo"
        )
    data_dir.mkdir(parents=True, exist_ok=True)
    mark.write_text("This folder holds a demo's simulated market. make demo empties it.\n")
    for path in made:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def _market(
    show: Show, start_at: datetime, speed: float, settings: Settings, port: int = 0
) -> Iterator[dict[str, str]]:
    """Serve the market from `start_at`; yield the environment that makes programs use it."""
    clock = SimulatedClock.starting(start_at, speed)
    server = SimulatedServer(show.market, clock, plan="ultimate", keys={KEY}, port=port)
    with server:
        yield os.environ | {
            "DATA_DIR": str(settings.data_dir),
            "FMP_BASE_URL": server.base_url,
            "FMP_API_KEY": KEY,
            "FMP_PLAN": "ultimate",
            "SIMULATED_CLOCK": str(clock),
            "DBT_VARS": json.dumps(show.dbt_vars),
            "DBT_PROJECT_DIR": str(ROOT / "dbt_project"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "LIVE_TICK_SECONDS": str(TICK_SECONDS),
        }


def _prepare(show: Show, settings: Settings) -> None:
    """Do a user's morning: ingest, features, training."""
    python = [sys.executable, "-m"]
    dbt = [str(Path(sys.executable).with_name("dbt")), "--quiet"]
    dbt_vars = ["--vars", json.dumps(show.dbt_vars)]
    console.print(
        f"[bold]RePump demo[/]: session {show.session_date} of a simulated market, "
        f"data in {settings.data_dir}"
    )
    steps = [
        ("Calendar of the exchange", [*python, "ingest", "calendar"]),
        ("Universe", [*python, "ingest", "universe"]),
        ("Profiles", [*python, "ingest", "profiles"]),
        (
            "Scanner, first steps (dbt): who is worth daily bars",
            [*dbt, "run", "--select", "+daily_requests", *dbt_vars],
        ),
        ("Splits", [*python, "ingest", "splits"]),
        ("Daily bars", [*python, "ingest", "daily"]),
        (
            "Scanner (dbt): the watchlist",
            [*dbt, "run", "--select", "+watchlist", "+minute_requests", *dbt_vars],
        ),
        ("Minute bars of the watchlist", [*python, "ingest", "minute"]),
        (
            "Features and labels (dbt build), published snapshot",
            [*dbt, "build", "--exclude-resource-type", "unit_test", *dbt_vars],
        ),
        ("Exports: watchlist.json, offline_features.parquet", [*python, "ingest", "export"]),
        ("Training: LightGBM for 30 and 60 minutes", [*python, "ml.train"]),
    ]
    with _market(show, show.morning_at, 1.0, settings) as environment:
        for number, (title, command) in enumerate(steps, 1):
            _step(f"{number}/{len(steps) + 1}", title, command, environment)


def _step(number: str, title: str, command: list[str], environment: dict[str, str]) -> None:
    console.print(f"\n[bold cyan]{number} {title}[/]")
    started = time.monotonic()
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if status in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if status == 2 and "ml.train" in command:
        console.print("No model, so signals carry no score; the rules alone decide.")
    elif status:
        raise DemoError(f"step {number} ({title}) ended with status {status}; see above")
    console.print(f"[dim]{time.monotonic() - started:.0f} s[/]")


def _start_service(environment: dict[str, str], settings: Settings) -> subprocess.Popen[bytes]:
    address = f"http://{settings.live_host}:{settings.live_port}"
    console.print(
        f"\n[bold cyan]Live service[/] on {address} (health), {address}/schema (API), "
        f"log in {settings.data_dir / 'live.log'}"
    )
    log = (settings.data_dir / "live.log").open("wb")
    live = subprocess.Popen(
        [sys.executable, "-m", "live", "serve"],
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C ends it in order, from here
    )
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if live.poll() is not None:
            break
        try:
            requests.get(f"{address}/", timeout=1)
            return live
        except requests.RequestException:
            time.sleep(0.2)
    _end(live)
    tail = (settings.data_dir / "live.log").read_text(errors="replace").strip().splitlines()[-5:]
    raise DemoError("the live service did not start: " + " | ".join(tail))


def _watch(
    show: Show, environment: dict[str, str], settings: Settings, signals: int | None, speed: float
) -> None:
    """Show signals until the client ends: after `signals`, at the session's end, or on Ctrl-C."""
    real_seconds = (show.end_at - show.live_at).total_seconds() / speed + START_SECONDS
    command = [sys.executable, "-m", "live", "watch"]
    command += ["--url", f"ws://{settings.live_host}:{settings.live_port}/ws", "--since", "0"]
    if signals:
        command += ["--count", str(signals), "--timeout", f"{real_seconds + 30:.0f}"]
    console.print(
        f"The market's clock runs {speed:g} times as fast. "
        f"SQL on it, in another terminal: duckdb -readonly {settings.published_path}\n"
        "[dim]Ctrl-C ends the demo.[/]"
    )
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if status in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if status:
        raise DemoError(f"no {signals} signals came: the client ended with status {status}")
    console.print(f"\n[bold green]Done[/]: {signals} signal(s) received over the WebSocket.")


def _end(live: subprocess.Popen[bytes] | None) -> None:
    if live is None or live.poll() is not None:
        return
    live.terminate()
    try:
        live.wait(10)
    except subprocess.TimeoutExpired:
        live.kill()


if __name__ == "__main__":
    typer.run(main)
