"""Plain rows that the oracles read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple


class Bar(NamedTuple):
    minute: int
    open: float
    high: float
    low: float
    close: float
    volume: float | None


class DailyBar(NamedTuple):
    session_date: date
    open: float
    high: float
    low: float
    close: float
    volume: float | None


class Session(NamedTuple):
    session_date: date
    pre_open_at: datetime
    open_at: datetime
    close_at: datetime
    post_close_at: datetime
    is_half_day: bool

    def minute(self, at: datetime) -> int:
        return int((at - self.open_at) / timedelta(minutes=1))

    def segment_bounds(self, segment: str) -> tuple[int, int]:
        """First minute of the segment, and the first one after it."""
        edges = [self.pre_open_at, self.open_at, self.close_at, self.post_close_at]
        start = ["PRE", "RTH", "POST"].index(segment)
        return self.minute(edges[start]), self.minute(edges[start + 1])


@dataclass(frozen=True)
class SymbolHistory:
    """All that is known of one symbol. `minutes[session_date][segment]` is ordered by minute."""

    calendar: list[Session]
    minutes: dict[date, dict[str, list[Bar]]]
    daily: list[DailyBar]
    splits: list[tuple[date, float]]

    def session(self, session_date: date) -> Session:
        return next(s for s in self.calendar if s.session_date == session_date)

    def split_ratio(self, after: date, until: date) -> float:
        """Product of numerator / denominator over splits with after < split_date <= until."""
        ratio = 1.0
        for split_date, split in self.splits:
            if after < split_date <= until:
                ratio *= split
        return ratio

    def daily_series(self, before: date) -> list[DailyBar]:
        """Daily bars before a session on its basis; from RTH minutes where there are none."""
        rows = {bar.session_date: bar for bar in self.daily if bar.session_date < before}
        for session_date, segments in self.minutes.items():
            bars = segments.get("RTH", [])
            if session_date < before and session_date not in rows and bars:
                rows[session_date] = DailyBar(
                    session_date,
                    bars[0].open,
                    max(b.high for b in bars),
                    min(b.low for b in bars),
                    bars[-1].close,
                    sum(b.volume or 0 for b in bars),
                )
        series = []
        for session_date in sorted(rows):
            bar = rows[session_date]
            f = self.split_ratio(session_date, before)
            prices = [price / f for price in bar[1:5]]
            series.append(DailyBar(session_date, *prices, (bar.volume or 0) * f))
        return series
