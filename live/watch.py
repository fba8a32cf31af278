"""The terminal client: signals as they come, with reconnection and resumption by seq."""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.live import Live
from rich.table import Table
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from websockets.sync.client import connect

OPEN_SECONDS = 60.0
"""A service that starts takes connections at once and answers once its views are made."""
LONGEST_BACKOFF = 10.0
POLICY = 1008
"""The close code of a client that will be refused again."""
ROWS_SHOWN = 20

COLUMNS: tuple[tuple[str, int, Callable[[dict[str, Any]], str]], ...] = (
    ("seq", 5, lambda signal: str(signal["seq"])),
    ("time (UTC)", 10, lambda signal: signal["bar_at"][11:16]),
    ("symbol", 7, lambda signal: signal["symbol"]),
    ("state", 9, lambda signal: signal["state"]),
    ("price", 9, lambda signal: f"{signal['price']:.4g}"),
    ("move %", 7, lambda signal: _number(signal["move_pct"])),
    ("rvol", 7, lambda signal: _number(signal["rvol_1m"])),
    ("base %", 7, lambda signal: _number(signal["base_range_pct"])),
    ("spread %", 8, lambda signal: _number(signal["spread_pct"])),
    ("score", 7, lambda signal: _number(signal["score"], 3)),
)


class WatchError(RuntimeError):
    """Watching can't start or go on; the message says why."""


class TimeUpError(RuntimeError):
    """The seconds to watch for are over."""


@dataclass(frozen=True)
class Watching:
    """What to watch, and for how long. `timeout_seconds` is real time.

    `symbols` and `states` are lists with commas between.
    """

    url: str
    since: int | None = None
    count: int | None = None
    timeout_seconds: float | None = None
    token: str | None = None
    symbols: str | None = None
    states: str | None = None


def watch(watching: Watching, console: Console) -> None:
    """Show signals until `count` were shown, the time is up, or for ever.

    Raises WatchError where there is no server, it refuses, or the time is up before `count`.
    """
    shown = 0
    with Screen(console) as screen:
        try:
            for signal in received(watching, screen.note):
                screen.show(signal)
                shown += 1
                if shown == watching.count:
                    return
        except TimeUpError as error:
            if watching.count is not None:
                raise WatchError(f"{shown} of {watching.count} signals within {error} s") from None


def received(watching: Watching, note: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Yield signals; after a lost connection connect again and go on behind the last seq.

    Raises TimeUpError at the end of the time to watch for, and WatchError.
    """
    deadline = None
    if watching.timeout_seconds is not None:
        deadline = time.monotonic() + watching.timeout_seconds
    seq, status, was_connected, failures = watching.since, "ok", False, 0
    while True:
        try:
            for message in _messages(watching, seq, deadline):
                was_connected, failures = True, 0
                match message:
                    case {"type": "gap"}:
                        missed = f"{message['from_seq']} to {message['to_seq']}"
                        note(f"too slow for signals {missed}: they come now")
                    case {"type": "start"}:
                        seq = message["last_seq"]
                    case {"type": "heartbeat", "last_seq": last_seq, "status": now}:
                        seq = last_seq
                        if now != status and "degraded" in (now, status):
                            note(f"the service is {now}: GET / says why")
                        status = now
                    case {"type": _}:
                        pass
                    case _:
                        seq = message["seq"]
                        yield message
        except (InvalidURI, InvalidStatus) as error:
            raise WatchError(_refusal(watching.url, error)) from error
        except (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage) as error:
            _raise_if_final(watching, error, deadline, was_connected)
            failures += 1
            note("connection lost, trying again")
            time.sleep(min(LONGEST_BACKOFF, 0.5 * 2**failures) * random.uniform(0.5, 1.0))


def _raise_if_final(
    watching: Watching, error: Exception, deadline: float | None, was_connected: bool
) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise TimeUpError(f"{watching.timeout_seconds:g}") from None
    if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.code == POLICY:
        raise WatchError(f"{watching.url} refuses: {error.rcvd.reason}") from error
    if not was_connected:
        raise WatchError(
            f"no live service at {watching.url}: start it with make live ({error})"
        ) from error


def _messages(
    watching: Watching, seq: int | None, deadline: float | None
) -> Iterator[dict[str, Any]]:
    """Connect and yield what comes, first the seq that it begins after.

    Raises TimeoutError (an OSError) at the end.
    """
    headers = {"Authorization": f"Bearer {watching.token}"} if watching.token else {}
    left = OPEN_SECONDS if deadline is None else max(0.001, deadline - time.monotonic())
    with connect(
        with_query(watching.url, since=seq, symbols=watching.symbols, states=watching.states),
        additional_headers=headers,
        open_timeout=min(left, OPEN_SECONDS),
        close_timeout=1,
        proxy=None,
    ) as socket:
        last_seq = socket.response.headers.get("x-last-seq") if socket.response else None
        start = int(last_seq) if seq is None and last_seq else seq
        yield {"type": "start", "last_seq": start}
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            yield json.loads(socket.recv(timeout=wait))


def with_query(url: str, **values: str | int | None) -> str:
    """Return `url` with these values in its query; None is left as it is."""
    parts = urlsplit(url)
    given = {name: str(value) for name, value in values.items() if value is not None}
    query = urlencode({**dict(parse_qsl(parts.query)), **given}, safe=",")
    return urlunsplit(parts._replace(query=query))


def _refusal(url: str, error: InvalidURI | InvalidStatus) -> str:
    if isinstance(error, InvalidURI):
        return f"{url} is no WebSocket address: it should look like ws://127.0.0.1:8787/ws"
    status = error.response.status_code
    hint = ": set LIVE_TOKEN to the service's token" if status in (401, 403) else ""
    return f"{url} refuses the connection (status {status}){hint}"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


class Screen:
    """Where signals are shown: a live table on a terminal, a line each elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._signals: deque[dict[str, Any]] = deque(maxlen=ROWS_SHOWN)
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Screen:
        if self._live:
            self._live.start()
            self._live.update(self._table(), refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def note(self, text: str) -> None:
        """Say something that is no signal."""
        self._console.print(text, style="yellow", highlight=False)

    def show(self, signal: dict[str, Any]) -> None:
        """Show one more signal."""
        if not self._live and not self._signals:
            self._line(name for name, _, _ in COLUMNS)
        self._signals.append(signal)
        if self._live:
            self._live.update(self._table(), refresh=True)
        else:
            self._line(text(signal) for _, _, text in COLUMNS)

    def _line(self, cells: Iterator[str]) -> None:
        padded = (cell.ljust(width) for cell, (_, width, _) in zip(cells, COLUMNS, strict=True))
        print(" ".join(padded).rstrip(), flush=True, file=self._console.file)

    def _table(self) -> Table:
        caption = "" if self._signals else "waiting …"
        table = Table(
            title="RePump signals", caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        for name, _, _ in COLUMNS:
            justify: JustifyMethod = "left" if name in ("symbol", "state") else "right"
            table.add_column(name, justify=justify, no_wrap=True)
        for signal in self._signals:
            style = "bold green" if signal["state"] == "RePump" else None
            table.add_row(*(text(signal) for _, _, text in COLUMNS), style=style)
        return table
