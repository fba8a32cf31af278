"""One WebSocket to a provider, kept up by a thread: read at once, parsed elsewhere.

A client that reads slowly is first delayed by a provider and then cut off, so frames only go into
a queue here, with the time of their arrival.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception_type
from tenacity.wait import wait_random_exponential
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from ingest.clock import Clock
from live.access import is_loopback

log = logging.getLogger(__name__)

STABLE = timedelta(seconds=60)
"""A connection that lasted so long starts the backoff anew. Being let in does not: a provider lets
in and then closes one connection too many."""
LONGEST_PAUSE = 60.0
BUSY_PAUSE = 30.0
"""Seconds by the clock; the shorter pause where the account is connected elsewhere."""
LOOK_SECONDS = 0.2
"""Real seconds after which the thread looks at what it is asked, however quiet the socket is."""
POLICY_VIOLATION = 1008
KEPT_FRAMES = 100_000
LARGEST_FRAME = 2**24


class RefusedError(RuntimeError):
    """The provider refuses the key, or what it is asked for: trying again won't help."""


class BrokenError(RuntimeError):
    """The connection could not be made, or was lost."""


class BusyError(BrokenError):
    """The account has another connection open."""


@dataclass(frozen=True)
class Frame:
    """One frame as it came."""

    received_at: datetime
    data: str | bytes


@dataclass(frozen=True)
class Gap:
    """What was sent before this moment may be lost."""

    at: datetime
    is_new_connection: bool


class Dialogue(Protocol):
    """How one provider's socket is spoken to."""

    name: str

    def greet(self, socket: ClientConnection) -> None:
        """Log in. Raises RefusedError, BusyError, BrokenError."""

    def subscribe(
        self, socket: ClientConnection, added: frozenset[str], dropped: frozenset[str]
    ) -> None:
        """Ask for topics, and for no more of others."""


class StreamConnection:
    """Keeps one connection while it is wanted. All methods may be called from any thread.

    `backoff_seconds` (by the clock) bounds the first pause; it doubles with every failure.
    """

    def __init__(
        self, url: str, dialogue: Dialogue, clock: Clock, *, backoff_seconds: float = 1.0
    ) -> None:
        is_near = is_loopback(urlsplit(url).hostname or "")
        if not url.startswith("wss://") and not (is_near and url.startswith("ws://")):
            raise ValueError(f"{dialogue.name}: {url!r} is no WebSocket address (wss://…)")
        self.up_since: datetime | None = None
        """When it was logged in; None while it is not."""
        self.problem: str | None = None
        """Why it is not, in one line."""
        self.is_refused = False
        self._url, self._dialogue, self._clock = url, dialogue, clock
        self._is_near = is_near
        self._backoff_seconds = backoff_seconds
        self._topics: frozenset[str] = frozenset()
        self._until = datetime.min
        self._items: deque[Frame | Gap] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, topics: frozenset[str], until: datetime) -> None:
        """Be connected until then, subscribed to `topics`; once refused, no more."""
        self._topics, self._until = topics, until
        is_alive = self._thread is not None and self._thread.is_alive()
        if not is_alive and not self.is_refused and self._clock.now() < until:
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stop,), name=self._dialogue.name, daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Hang up, until `keep` is called again, and forget what came."""
        self._stop.set()
        self._items.clear()

    def take(self) -> list[Frame | Gap]:
        """Return what came since the last call, in its order."""
        taken: list[Frame | Gap] = []
        with suppress(IndexError):  # empty, or emptied by the thread
            while True:
                taken.append(self._items.popleft())
        return taken

    def _run(self, stop: threading.Event) -> None:
        while self._is_wanted(stop):
            retrying = Retrying(
                retry=retry_if_exception_type(BrokenError),
                stop=lambda _: not self._is_wanted(stop),
                wait=self._pause,
                sleep=lambda seconds: _wait(stop, seconds),
                reraise=True,
            )
            try:
                retrying(self._live_once, stop)
                _wait(stop, random.random() * self._backoff_seconds / self._clock.speed)
            except BrokenError:
                return
            except RefusedError as error:
                self.is_refused = True
                self._note_down(str(error))
                return

    def _is_wanted(self, stop: threading.Event) -> bool:
        return not stop.is_set() and self._clock.now() < self._until

    def _pause(self, state: RetryCallState) -> float:
        """Return real seconds: exponential with full jitter, by the clock."""
        pause = wait_random_exponential(self._backoff_seconds, max=LONGEST_PAUSE)(state)
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, BusyError):
            pause += BUSY_PAUSE * self._backoff_seconds
        return pause / self._clock.speed

    def _live_once(self, stop: threading.Event) -> None:
        """Connect and read until the connection ends. Raises BrokenError unless it was stable."""
        if not self._is_wanted(stop):
            return
        began_at = self._clock.now()
        try:
            self._connect_and_read(stop)
            self._note_down(None)
        except (BrokenError, OSError, WebSocketException) as error:
            self._note_down(why := _reason(error))
            if _is_busy(error):
                raise BusyError(why) from error
            if self._clock.now() - began_at < STABLE:
                raise BrokenError(why) from error

    def _connect_and_read(self, stop: threading.Event) -> None:
        with connect(
            self._url,
            max_size=LARGEST_FRAME,
            open_timeout=10,
            close_timeout=1,
            proxy=None if self._is_near else True,
        ) as socket:
            self._dialogue.greet(socket)
            up_since = self._clock.now()
            self._put(Gap(up_since, is_new_connection=True))
            self.up_since, self.problem = up_since, None
            log.info("%s: connected", self._dialogue.name)
            self._read(socket, stop)

    def _read(self, socket: ClientConnection, stop: threading.Event) -> None:
        current: frozenset[str] = frozenset()
        while self._is_wanted(stop):
            wanted = self._topics
            if wanted != current:
                self._dialogue.subscribe(socket, wanted - current, current - wanted)
                current = wanted
            try:
                data = socket.recv(timeout=LOOK_SECONDS)
            except TimeoutError:
                continue
            self._put(Frame(self._clock.now(), data))

    def _put(self, item: Frame | Gap) -> None:
        if len(self._items) >= KEPT_FRAMES:
            self._items.clear()
            self._items.append(Gap(self._clock.now(), is_new_connection=False))
        self._items.append(item)

    def _note_down(self, why: str | None) -> None:
        if why and (self.up_since or why != self.problem):
            log.warning("%s: %s", self._dialogue.name, why)
        self.up_since, self.problem = None, why


def _wait(stop: threading.Event, seconds: float) -> None:
    stop.wait(seconds)


def receive(socket: ClientConnection, seconds: float = 10.0) -> str | bytes:
    """Return the next frame of a login. Raises BrokenError where none comes in time."""
    try:
        return socket.recv(timeout=seconds)
    except TimeoutError:
        raise BrokenError(f"no answer to the login within {seconds:g} s") from None


def _is_busy(error: Exception) -> bool:
    """Return whether the account is connected elsewhere: told at the login, or by code 1008."""
    if isinstance(error, ConnectionClosed) and error.rcvd is not None:
        return error.rcvd.code == POLICY_VIOLATION
    return isinstance(error, BusyError)


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionClosed) and error.rcvd is not None:
        said = f" ({error.rcvd.reason})" if error.rcvd.reason else ""
        return f"the connection was closed with code {error.rcvd.code}{said}"
    if isinstance(error, ConnectionClosed):
        return "the connection was cut"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, BrokenError) else f"no connection: {text}"
