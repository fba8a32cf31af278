"""Feeds: where the live service's bars come from. Each is a `Feed`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from live.sessions import Session

EVERY_SYMBOL = "*"
"""The key, among a poll's failures, of one that is no single symbol's."""


@dataclass
class Polled:
    """What one poll brought."""

    bars: list[pa.Table] = field(default_factory=list)
    """raw.bars_1m rows, closed bars only."""

    quotes: list[pa.Table] = field(default_factory=list)
    """raw.quotes rows."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    """raw.fetch_log rows."""

    failures: dict[str, str] = field(default_factory=dict)
    """What failed and still does: symbol (or EVERY_SYMBOL) and the reason, in one line."""

    forming: pa.Table | None = None
    """The running minute's bars as they stand, where a feed knows them. They never land."""

    others: dict[str, Polled] = field(default_factory=dict)
    """What came from another provider than the feed's, by provider."""

    @property
    def request_count(self) -> int:
        """Requests of all providers."""
        return len(self.requests) + sum(other.request_count for other in self.others.values())


class Feed(Protocol):
    """A source of bars. One thread polls it."""

    @property
    def provider(self) -> str:
        """The name that its rows carry."""

    @property
    def notes(self) -> Sequence[str]:
        """Limits it works under, for people: what the plan lacks, for instance."""

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        """Return what may have changed for `symbols` (at first the whole day so far).

        Never raises for what a provider does: that goes to `failures`.
        """

    def close(self) -> None:
        """Stop at once, a running poll too. May be called from any thread."""
