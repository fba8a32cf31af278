"""Two feeds: the second takes over while the first is stale, and costs nothing otherwise."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from live.feeds import Feed, Polled
from live.sessions import Session

log = logging.getLogger(__name__)


class StandbyFeed(Feed, Protocol):
    """A feed that tells whether it works, and that can wait."""

    @property
    def works_at(self) -> datetime | None:
        """The last moment at which it is known to have worked."""

    def stand_by(self) -> None:
        """Cost nothing until polled again."""


@dataclass(frozen=True)
class Named:
    """A feed and what the setting LIVE_FEED calls it."""

    name: str
    feed: StandbyFeed


class FailoverFeed:
    """Polls `first`, and `second` too while `first` has not worked for `stale_after`.

    They are of different providers, and rows keep theirs.
    """

    def __init__(self, first: Named, second: Named, stale_after: timedelta) -> None:
        self._first, self._second = first, second
        self._stale_after = stale_after
        self._session: Session | None = None
        self._begun_at = datetime.max
        self._taken_over_at: datetime | None = None

    @property
    def provider(self) -> str:
        """Whose rows count now."""
        return self._active.feed.provider

    @property
    def notes(self) -> Sequence[str]:
        """Who stands by, or has taken over, and the feeds' own notes."""
        if self._taken_over_at is None:
            state = f"{self._second.name} stands by for {self._first.name}"
            return [state, *self._first.feed.notes]
        return [self._takeover(), *self._first.feed.notes, *self._second.feed.notes]

    @property
    def _active(self) -> Named:
        return self._first if self._taken_over_at is None else self._second

    def _takeover(self) -> str:
        return (
            f"{self._second.name} has taken over from {self._first.name} at "
            f"{self._taken_over_at:%H:%M:%S} UTC"
        )

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        """Return what may have changed for `symbols` (at first the whole day so far)."""
        if session != self._session:
            self._session, self._begun_at = session, now
        polled = self._first.feed.poll(session, symbols, now)
        self._decide(session, now)
        if self._taken_over_at is None:
            return polled
        replaced = self._second.feed.poll(session, symbols, now)
        reason = "; ".join(list(dict.fromkeys(polled.failures.values()))[:1]) or "no data"
        replaced.failures[self._first.name] = f"{reason}: {self._takeover()}"
        replaced.others[self._first.feed.provider] = polled
        return replaced

    def _decide(self, session: Session, now: datetime) -> None:
        is_stale = self._is_stale(session, now)
        if is_stale and self._taken_over_at is None:
            self._taken_over_at = now
            log.warning("%s", self._takeover())
        elif not is_stale and self._taken_over_at is not None:
            log.warning("%s works again: %s stands by", self._first.name, self._second.name)
            self._taken_over_at = None
            self._second.feed.stand_by()

    def _is_stale(self, session: Session, now: datetime) -> bool:
        if session.segment_at(now) is None:
            return self._taken_over_at is not None
        worked_at = max(self._first.feed.works_at or datetime.min, self._begun_at)
        return now - worked_at > self._stale_after

    def close(self) -> None:
        """Stop at once, a running poll too. May be called from any thread."""
        self._first.feed.close()
        self._second.feed.close()
