"""FMP's own stream: quotes of every US stock, no bars. It tells who has traded; bars are read.

Without a word about a symbol in this segment, or while the stream is down, the symbol is read once
a minute: whether the stream covers extended hours is not documented.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from ingest.clock import Clock
from ingest.providers.fmp import PROVIDER
from live.feeds import Polled
from live.feeds.calls import Calls
from live.feeds.connection import BrokenError, Frame, Gap, StreamConnection
from live.feeds.fmp_socket import STREAM, message_of
from live.feeds.looks import QUOTES, Looks
from live.feeds.poll import SETTLE, Client, failures_of, is_before_mark
from live.feeds.reads import Reads
from live.sessions import Session

log = logging.getLogger(__name__)

SILENT_FOR = timedelta(seconds=90)
"""Three heartbeats: a stream without any of them does not work, whatever its socket says."""


class FmpStreamFeed:
    """FMP's minute bars, read as soon as its stream tells that they exist.

    `charge` is told the bytes that the stream takes: they count against the plan's bandwidth.
    """

    provider = PROVIDER

    def __init__(
        self,
        client: Client,
        connection: StreamConnection,
        clock: Clock,
        charge: Callable[[int], None],
        *,
        patience_seconds: float = 2.0,
        workers: int = 8,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._charge = charge
        self._calls = Calls(
            clock, patience_seconds=patience_seconds, workers=workers, on_close=on_close
        )
        self._looks = Looks(client, self._calls)
        self._reads = Reads(client, self._calls)
        self._volumes: dict[str, float] = {}
        self._segment: str | None = None
        self._seen_for: datetime | None = None
        self._heard_at: datetime | None = None
        self._bad_frames = 0

    @property
    def works_at(self) -> datetime | None:
        """When FMP answered last: while the stream is down, bars are read all the same."""
        return self._calls.answered_at

    @property
    def notes(self) -> Sequence[str]:
        """What the plan lacks, and what could not be read."""
        bad = f"{self._bad_frames} frames of FMP's stream could not be read"
        return [*self._looks.notes, *[bad] * bool(self._bad_frames)]

    def stand_by(self) -> None:
        """Hang up until polled again."""
        self._connection.stop()

    def close(self) -> None:
        """Stop at once, a running poll too. May be called from any thread."""
        self._connection.stop()
        self._calls.close()

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        """Return what may have changed for `symbols` (at first the whole day so far)."""
        self._reads.follow(session, symbols)
        self._connection.keep(frozenset({STREAM}), session.ends_at)
        segment = session.segment_at(now)
        if segment != self._segment:
            self._segment = segment
            self._forget()
        self._hear(symbols)
        minute_end, polled = now.replace(second=0, microsecond=0), Polled()
        if symbols and is_before_mark(now):
            self._looks.look([QUOTES], symbols, now, polled)
        if minute_end != self._seen_for or now < minute_end + SETTLE:
            self._seen_for = minute_end
            self._reads.see_volumes(STREAM, self._volumes, minute_end)
        if now >= minute_end + SETTLE / 3:
            self._reads.see_nothing_where_unknown(symbols, [STREAM], minute_end)
        self._reads.read(symbols, now, minute_end, polled)
        polled.failures = failures_of(self._calls, symbols)
        self._note_problem(polled, now)
        return polled

    def _forget(self) -> None:
        """Know of no symbol whether it trades, until the stream speaks of it."""
        self._volumes = {}
        for watch in self._reads.watches.values():
            watch.volumes.pop(STREAM, None)

    def _hear(self, symbols: Sequence[str]) -> None:
        """Note the volumes that have come; one that is sent again is nothing new."""
        watched, byte_count = frozenset(symbols), 0
        for item in self._connection.take():
            if isinstance(item, Gap):
                self._forget()
                continue
            byte_count += len(item.data)
            self._hear_frame(item, watched)
        if byte_count:
            self._charge(byte_count)
        if self._connection.up_since is None:
            self._forget()

    def _hear_frame(self, frame: Frame, watched: frozenset[str]) -> None:
        self._heard_at = frame.received_at
        try:
            message = message_of(frame.data)
        except BrokenError as error:
            self._bad_frames += 1
            log.warning("FMP's stream: %s", error)
            return
        symbol, volume = message.get("symbol"), message.get("volume")
        if symbol in watched:
            # without a volume, the time of the trade tells it from one that is sent again
            told = volume if isinstance(volume, int | float) else message.get("timestamp")
            if isinstance(told, int | float):
                self._volumes[symbol] = float(told)

    def _note_problem(self, polled: Polled, now: datetime) -> None:
        up_since = self._connection.up_since
        if up_since is None and self._connection.problem:
            polled.failures[STREAM] = f"{self._connection.problem}: every symbol is read instead"
        elif up_since and now > max(up_since, self._heard_at or up_since) + SILENT_FOR:
            polled.failures[STREAM] = "silent, without heartbeats: every symbol is read instead"
            self._forget()
