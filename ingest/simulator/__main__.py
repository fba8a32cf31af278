"""Run the simulated market: `python -m ingest.simulator --help`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from ingest.clock import Clock, SimulatedClock, parse_clock
from ingest.simulator.faults import parse_faults
from ingest.simulator.files import FileMarket
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.market import Market
from ingest.simulator.plans import ALPHA_VANTAGE_PLANS, MASSIVE_PLANS, PLANS
from ingest.simulator.server import SimulatedServer
from ingest.simulator.socket_faults import parse_socket_faults
from ingest.simulator.sockets import SimulatedSockets


def main(
    *,
    seed: Annotated[int, typer.Option(help="Seed of the generated market.")] = 7,
    symbols: Annotated[int, typer.Option(help="Symbols of the generated market.")] = 300,
    clock: Annotated[str | None, typer.Option(help="Text of a SIMULATED_CLOCK.")] = None,
    start: Annotated[
        str | None, typer.Option(help="Time to start at, UTC, without --clock.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Market seconds per second, with --start.")] = 1.0,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    plan: Annotated[str, typer.Option(help=f"FMP plan: {', '.join(PLANS)}.")] = "ultimate",
    massive_plan: Annotated[
        str, typer.Option(help=f"Massive's plan: {', '.join(MASSIVE_PLANS)}.")
    ] = "advanced",
    alpha_vantage_plan: Annotated[
        str, typer.Option(help=f"Alpha Vantage's plan: {', '.join(ALPHA_VANTAGE_PLANS)}.")
    ] = "premium",
    key: Annotated[list[str] | None, typer.Option(help="Key to accept; repeatable.")] = None,
    bars_1m: Annotated[Path | None, typer.Option(help="Minute bars, Parquet or CSV.")] = None,
    bars_1d: Annotated[Path | None, typer.Option(help="Daily bars, Parquet or CSV.")] = None,
    profiles: Annotated[Path | None, typer.Option(help="Profiles, Parquet or CSV.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=RATE; repeatable.")] = None,
    socket_port: Annotated[int, typer.Option(help="Port of the streams; 0 takes a free one.")] = 0,
    socket_fault: Annotated[
        list[str] | None, typer.Option(help="NAME=RATE of the streams; repeatable.")
    ] = None,
) -> None:
    """Serve a market on loopback as FMP, Massive and Alpha Vantage, until SIGINT or SIGTERM.

    FMP's and Massive's streams are on a port of their own.
    """
    try:
        market = _market(seed, symbols, bars_1m, bars_1d, profiles)
        faults = parse_faults(fault or [], seed)
        socket_faults = parse_socket_faults(socket_fault or [], seed)
        time, keys = _clock(clock, start, speed), set(key or ["demo"])
        with _port_told("port", port):
            server = SimulatedServer(
                market,
                time,
                plan=plan,
                massive_plan=massive_plan,
                alpha_vantage_plan=alpha_vantage_plan,
                keys=keys,
                faults=faults,
                port=port,
            )
        with _port_told("socket-port", socket_port):
            sockets = SimulatedSockets(
                market, time, keys=keys, faults=socket_faults, port=socket_port
            )
    except (ValueError, OverflowError) as error:
        sys.exit(f"error: {error}")
    stop = Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    with server, sockets:
        print(f"simulated market: {server.base_url}", flush=True)
        print(f"as Massive: {server.massive_url}", flush=True)
        print(f"as Alpha Vantage: {server.alpha_vantage_url}", flush=True)
        print(f"FMP's stream: {sockets.fmp_url}", flush=True)
        print(f"Massive's stream: {sockets.massive_url}", flush=True)
        stop.wait()


@contextmanager
def _port_told(option: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        sys.exit(
            f"error: port {port} can't be used ({error.strerror}): choose another or --{option} 0"
        )


def _market(
    seed: int, symbols: int, bars_1m: Path | None, bars_1d: Path | None, profiles: Path | None
) -> Market:
    if bars_1m or bars_1d:
        return FileMarket(bars_1m=bars_1m, bars_1d=bars_1d, profiles=profiles)
    if profiles:
        raise ValueError("--profiles needs bars: give --bars-1m or --bars-1d")
    return GeneratedMarket(seed=seed, symbol_count=symbols)


def _clock(clock: str | None, start: str | None, speed: float) -> Clock:
    if clock is not None or start is None:
        return parse_clock(clock)
    try:
        return SimulatedClock.starting(datetime.fromisoformat(start.removesuffix("Z")), speed)
    except ValueError:
        raise ValueError(f"--start is {start!r}: expected a time like 2025-09-02T13:00") from None


if __name__ == "__main__":
    typer.run(main)
