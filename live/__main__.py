"""`python -m live`: serve, watch, replay, parity."""

from __future__ import annotations

import logging
import os
import signal
import sys
from datetime import datetime
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from ingest.clock import parse_clock
from ingest.settings import Settings, described
from ingest.warehouse import DatabaseLockedError, DatabaseUnusableError
from live.app import create_app
from live.checks import ClockCheck
from live.database import SnapshotMissingError, snapshot_version
from live.feeds.choice import chosen_feed
from live.recorded import ReplayError
from live.replay import parse_changes
from live.replay_command import print_report, replay_session
from live.selftest import failed_self_test
from live.serving import (
    StartError,
    allow_clients,
    listening_socket,
    only_service,
    serve_app,
)
from live.views import ensure_views
from live.warehouse import open_live
from live.watch import WatchError, Watching
from live.watch import watch as watch_signals

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

START_ERRORS = (
    StartError,
    ReplayError,
    SnapshotMissingError,
    DatabaseLockedError,
    DatabaseUnusableError,
    ValueError,
    OSError,
)


@app.command()
def serve() -> None:
    """Watch the market and serve signals until Ctrl-C or SIGTERM."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _serve(_settings())
    except KeyboardInterrupt:  # before it served
        print("stopped", file=sys.stderr)
    except START_ERRORS as error:
        _fail(str(error))
    print("stopped", flush=True)
    logging.shutdown()
    os._exit(0)  # all is closed; a provider's answer may still be waited for in a thread


def _serve(settings: Settings) -> None:
    clock = parse_clock(settings.simulated_clock)
    allow_clients(settings.live_max_clients)
    with only_service(settings.data_dir), listening_socket(settings) as listener:
        snapshot_version(settings.published_path)
        clock_check = ClockCheck(clock)
        feed = chosen_feed(settings, clock, clock_check.see)
        print(f"views of {settings.live_path.name} (dbt where they are not current) …", flush=True)
        ensure_views(settings)
        with open_live(settings.live_path, settings.published_path) as warehouse:
            fault = failed_self_test(warehouse)
            service = create_app(
                settings, clock, feed, warehouse, clock_check=clock_check, fault=fault
            )
            host, port = listener.getsockname()[:2]
            print(f"live service: http://{host}:{port}  (Ctrl-C ends it)", flush=True)
            serve_app(service, listener)


@app.command()
def watch(
    url: Annotated[str | None, typer.Option(help="The service's WebSocket.")] = None,
    since: Annotated[int | None, typer.Option(min=0, help="Show signals after this seq.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after this many signals.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Give up after this many seconds.")
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="Only these, as in ABCD,EFGH.")] = None,
    states: Annotated[str | None, typer.Option(help="Only RePump or FirstPump.")] = None,
) -> None:
    """Show signals as they come."""
    settings = _settings()
    token = settings.live_token.get_secret_value() if settings.live_token else None
    host = f"[{settings.live_host}]" if ":" in settings.live_host else settings.live_host
    address = url or f"ws://{host}:{settings.live_port}/ws"
    try:
        watch_signals(Watching(address, since, count, timeout, token, symbols, states), Console())
    except KeyboardInterrupt:
        raise typer.Exit(0 if count is None else 130) from None
    except WatchError as error:
        _fail(str(error))


@app.command()
def replay(
    day: Annotated[
        datetime | None,
        typer.Argument(metavar="[DATE]", formats=["%Y-%m-%d"], help="The newest, if not given."),
    ] = None,
    diff: Annotated[
        list[str] | None,
        typer.Option(help="rule=value: show which signals that would add and drop. Repeatable."),
    ] = None,
    as_landed: Annotated[
        bool, typer.Option(help="Bars in the versions and at the moments that they landed then.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, max=60, help="Bars come every so many minutes.")] = 1,
) -> None:
    """Play a recorded session through the live loop; hold what it serves against batch.

    Status 1 where a difference is unexplained, or the signals are not those of marts.entries_1m.
    """
    logging.basicConfig(level=logging.WARNING, force=True)
    try:
        changes = parse_changes(diff or [])
        every_minutes = None if as_landed else every
        if not replay_session(_settings(), day and day.date(), changes, every_minutes):
            raise typer.Exit(1)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except START_ERRORS as error:
        _fail(str(error))


@app.command()
def parity(
    day: Annotated[
        datetime | None,
        typer.Argument(metavar="[DATE]", formats=["%Y-%m-%d"], help="The newest, if not given."),
    ] = None,
) -> None:
    """Show how what was served live in a session compares with batch; status 1 if unexplained."""
    try:
        if not print_report(_settings(), day and day.date()):
            raise typer.Exit(1)
    except START_ERRORS as error:
        _fail(str(error))


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        _fail(described(error))


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
