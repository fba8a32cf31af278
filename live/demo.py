"""`make demo`: the main job on a simulated market, from nothing to live signals on screen.

It fills DATA_DIR as a user's morning would (ingest, dbt, training), then starts the live service
and a terminal client on the same market, whose clock runs SPEED times as fast from shortly before
the open. Each of its data folders carries a mark, so that it never touches one with real data.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, Annotated, NoReturn

import duckdb
import requests
import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ingest.calendar import market_calendar
from ingest.clock import SimulatedClock
from ingest.settings import ROOT, Settings, described
from ingest.simulator.files import FileMarket
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.market import Market
from ingest.simulator.server import SimulatedServer
from ingest.simulator.sockets import SimulatedSockets
from live.children import end, start
from live.serving import StartError
from live.takeover import taken_over

SESSION = date(2025, 11, 5)
KEY = "demo"
HOST = "127.0.0.1"
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

START_LIMIT_SECONDS = 90.0
AFTER_END_SECONDS = 15.0
"""Real seconds after the session's end in which its last signals may still come."""

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
    signals: Annotated[int | None, typer.Option(envvar="SIGNALS", min=1)] = None,
    bars_1m: Annotated[Path | None, typer.Option(envvar="BARS_1M")] = None,
    bars_1d: Annotated[Path | None, typer.Option(envvar="BARS_1D")] = None,
    profiles: Annotated[Path | None, typer.Option(envvar="PROFILES")] = None,
    session: Annotated[
        datetime | None, typer.Option(envvar="SESSION", formats=["%Y-%m-%d"])
    ] = None,
    speed: Annotated[float, typer.Option(envvar="SPEED", min=0.1, max=6000)] = 60.0,
) -> None:
    """Run the main job on a simulated market; show signals until Ctrl-C, SIGNALS or its end."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    is_watching = False
    try:
        settings = Settings(simulated_clock=None)
        session_date = session.date() if session else SESSION
        show = _plan(session_date, bars_1m, bars_1d, profiles)
        _check_port(settings)
        with taken_over(settings.data_dir, has_files=bars_1m is not None) as mark:
            _prepare(show, settings, mark)
            start_at = show.live_at - timedelta(seconds=START_SECONDS * speed)
            with _market(show, start_at, speed, settings) as environment:
                is_watching = True
                _go_live(show, environment, settings, mark, signals, speed)
    except KeyboardInterrupt:
        console.show_cursor(True)
        console.print("\n[bold]Stopped.[/] The data stays for you to look at: see data/README.md")
        raise typer.Exit(0 if is_watching and signals is None else 130) from None
    except ValidationError as error:
        _fail(described(error))
    except (DemoError, StartError, ValueError, OSError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    Console(stderr=True).print(f"demo: {message}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)


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


def _check_port(settings: Settings) -> None:
    """Refuse a chosen port that is taken, now rather than after all the steps."""
    if "live_port" in settings.model_fields_set and not _is_free(settings.live_port):
        raise DemoError(
            f"port {settings.live_port} is in use: stop what uses it, or set LIVE_PORT to a free "
            "port (without LIVE_PORT a demo finds one)"
        )


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def _service_port(settings: Settings) -> int:
    """Return the port of the settings, or any free one where none was chosen and it is taken."""
    if "live_port" in settings.model_fields_set or _is_free(settings.live_port):
        return settings.live_port
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def _market(
    show: Show, start_at: datetime, speed: float, settings: Settings
) -> Iterator[dict[str, str]]:
    """Serve the market from `start_at`; yield the environment that makes programs use it."""
    clock = SimulatedClock.starting(start_at, speed)
    server = SimulatedServer(show.market, clock, plan="ultimate", keys={KEY})
    sockets = SimulatedSockets(show.market, clock, keys={KEY})
    with server, sockets:
        yield os.environ | {
            "DATA_DIR": str(settings.data_dir),
            "FMP_BASE_URL": server.base_url,
            "FMP_SOCKET_URL": sockets.fmp_url,
            "FMP_API_KEY": KEY,
            "FMP_PLAN": "ultimate",
            "MASSIVE_BASE_URL": server.massive_url,
            "MASSIVE_SOCKET_URL": sockets.massive_url,
            "MASSIVE_API_KEY": KEY,
            "MASSIVE_CALLS_PER_MINUTE": "1000",
            "LIVE_FEED": settings.live_feed,
            "SIMULATED_CLOCK": str(clock),
            "DBT_VARS": json.dumps(show.dbt_vars),
            "DBT_PROJECT_DIR": str(ROOT / "dbt_project"),
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
            "LIVE_HOST": HOST,
            "LIVE_TICK_SECONDS": str(TICK_SECONDS),
            "NO_PROXY": HOST,
            "no_proxy": HOST,
            # what dbt's interrupted helpers leave is nothing to a user
            "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
        }


def _prepare(show: Show, settings: Settings, mark: IO[str]) -> None:
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
        ("Training: LightGBM for 30 and 60 minutes", [*python, "ml.train", "--brief"]),
    ]
    with _market(show, show.morning_at, 1.0, settings) as environment:
        for number, (title, command) in enumerate(steps, 1):
            _step(f"{number}/{len(steps) + 1}", title, command, environment, mark)


def _step(
    number: str, title: str, command: list[str], environment: dict[str, str], mark: IO[str]
) -> None:
    console.print(f"\n[bold cyan]{number} {title}[/]")
    started = time.monotonic()
    child = start(command, environment, held=mark)
    try:
        is_silent = "run" in command or "build" in command or "export" in command
        status = _wait_with_spinner(child) if is_silent else child.wait()
    finally:
        end(child)
    if status == 2 and "ml.train" in command:
        console.print("No model, so signals carry no score; the rules alone decide.")
    elif status:
        raise DemoError(f"step {number} ({title}) ended with status {status}; see above")
    console.print(f"[dim]{time.monotonic() - started:.0f} s[/]")


def _wait_with_spinner(child: subprocess.Popen[bytes]) -> int:
    if not console.is_terminal:
        return child.wait()
    columns = (SpinnerColumn(), TextColumn("working"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task("", total=None)
        return child.wait()


def _go_live(
    show: Show,
    environment: dict[str, str],
    settings: Settings,
    mark: IO[str],
    signals: int | None,
    speed: float,
) -> None:
    """Start the service and show its signals."""
    port = _service_port(settings)
    environment = environment | {"LIVE_PORT": str(port)}
    address, log = f"http://{HOST}:{port}", settings.data_dir / "live.log"
    console.print("\n[bold cyan]12/12 Live service and terminal client[/]")
    with log.open("wb") as output:
        service = start(
            [sys.executable, "-m", "live", "serve"], environment, output=output, held=mark
        )
    try:
        _wait_with_spinner_until_up(service, address, log)
        for what, where in (
            ("dashboard", f"{address}/dashboard"),
            ("health", f"{address}/"),
            ("API", f"{address}/schema"),
            ("signals", f"ws://{HOST}:{port}/ws"),
            ("log", log),
            ("SQL", f"{settings.published_path} (read only; README, Reading it in SQL)"),
        ):
            console.print(f"{what:<9} {where}", soft_wrap=True)
        console.print(
            f"The market's clock runs {speed:g} times as fast: from {show.live_at:%H:%M} UTC "
            f"to the session's end at {show.end_at:%H:%M}. Ctrl-C ends the demo."
        )
        _watch(show, service, environment, port, signals, speed)
    finally:
        end(service, grace_seconds=10)


def _wait_with_spinner_until_up(service: subprocess.Popen[bytes], address: str, log: Path) -> None:
    session = requests.Session()
    session.trust_env = False  # loopback needs no proxy
    deadline = time.monotonic() + START_LIMIT_SECONDS
    with console.status("starting"):
        while service.poll() is None and time.monotonic() < deadline:
            try:
                session.get(f"{address}/", timeout=5)
                return
            except requests.RequestException:
                time.sleep(0.2)
    raise DemoError(f"the live service did not start: {_last_lines(log)}")


def _last_lines(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").strip().splitlines()[-5:])


def _watch(
    show: Show,
    service: subprocess.Popen[bytes],
    environment: dict[str, str],
    port: int,
    signals: int | None,
    speed: float,
) -> None:
    """Show signals until `signals` were shown, the session ends or the service does."""
    seconds = (show.end_at - show.live_at).total_seconds() / speed
    command = [sys.executable, "-m", "live", "watch", "--url", f"ws://{HOST}:{port}/ws"]
    command += ["--since", "0", "--timeout", f"{seconds + START_SECONDS + AFTER_END_SECONDS:.0f}"]
    command += ["--count", str(signals)] if signals else []
    client = start(command, environment)
    try:
        while client.poll() is None:
            if service.poll() is not None:
                end(client, signal.SIGINT)
                raise DemoError(
                    f"the live service ended with status {service.returncode}; "
                    f"its log: {environment['DATA_DIR']}/live.log"
                )
            time.sleep(0.1)
    finally:
        end(client, signal.SIGINT)
    if client.returncode and signals:
        raise DemoError(
            f"the session of {show.session_date} ended without {signals} signal(s): looser rules "
            "(DBT_VARS='{rvol_min: 1.5}') or another SESSION may give more"
        )
    if client.returncode:
        raise DemoError(f"the client ended with status {client.returncode}; see above")
    done = (
        f"{signals} signal(s) received over the WebSocket." if signals else "the session is over."
    )
    console.print(f"\n[bold green]Done[/]: {done}")


if __name__ == "__main__":
    typer.run(main)
