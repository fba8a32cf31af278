"""A session of the exchange as the live service sees it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

CLOSING_GRACE = timedelta(minutes=2)
"""How long after post_close_at the last bars are still fetched."""


@dataclass(frozen=True)
class Session:
    """One row of marts.market_sessions; times are naive UTC."""

    session_date: date
    pre_open_at: datetime
    open_at: datetime
    close_at: datetime
    post_close_at: datetime

    def segment_at(self, at: datetime) -> str | None:
        """Return PRE, RTH or POST; None outside the session."""
        if not self.pre_open_at <= at < self.post_close_at:
            return None
        if at < self.open_at:
            return "PRE"
        return "RTH" if at < self.close_at else "POST"

    @property
    def ends_at(self) -> datetime:
        """When the session's last bars have been fetched and its day is flushed."""
        return self.post_close_at + CLOSING_GRACE
