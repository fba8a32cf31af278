"""When to read one symbol's bars again. Pure: told the time, and what polls and reads show."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)
REREADS = (timedelta(minutes=3), timedelta(minutes=8))
"""When, after its newest bar's end, a symbol gone quiet is read again: fresh bars are revised."""
TRIES_PER_MINUTE = 2


@dataclass
class Watch:
    """What is known of one symbol's bars, and when to ask for more."""

    volumes: dict[str, float | None] = field(default_factory=dict)
    active_to: datetime | None = None
    """The last minute end at which it counts as having traded."""
    newest_bar_at: datetime | None = None
    read_at: datetime | None = None
    tried_for: datetime | None = None
    """The minute end that `tries` counts for."""
    tries: int = 0
    rereads: list[datetime] = field(default_factory=list)

    def see_volume(self, source: str, volume: float | None, minute_end: datetime) -> None:
        """Note the volume that `source` tells; a changed one means that it has traded.

        It then counts as active for this minute and the next: a print may have been counted
        while its bar was still forming.
        """
        if volume is not None and volume != self.volumes.get(source):
            self.active_to = minute_end + MINUTE
        self.volumes[source] = volume

    def see_nothing(self, minute_end: datetime) -> None:
        """Note that nobody tells its volume: it is read once a minute."""
        self.active_to = None if self.tried_for == minute_end else minute_end

    def urgency(self, minute_end: datetime) -> int | None:
        """Return 0 (read at once) to 2, or None where there is no need to read now."""
        tries = self.tries if self.tried_for == minute_end else 0
        if self.read_at is None:
            return 0 if tries < TRIES_PER_MINUTE else None
        expected = minute_end - MINUTE
        is_behind = self.newest_bar_at is None or self.newest_bar_at < expected
        if self.active_to is not None and minute_end <= self.active_to and is_behind:
            return 1 if tries < TRIES_PER_MINUTE else None
        if self.rereads and self.rereads[0] <= minute_end and tries == 0:
            return 2
        return None

    def start_read(self, minute_end: datetime) -> None:
        """Note that it is being read."""
        self.tries = self.tries + 1 if self.tried_for == minute_end else 1
        self.tried_for = minute_end
        self.rereads = [at for at in self.rereads if at > minute_end]

    def finish_read(self, newest_bar_at: datetime | None, asked_at: datetime) -> None:
        """Note what a read brought."""
        self.read_at = asked_at
        if newest_bar_at is not None and newest_bar_at != self.newest_bar_at:
            self.newest_bar_at = newest_bar_at
            self.rereads = [newest_bar_at + MINUTE + later for later in REREADS]
