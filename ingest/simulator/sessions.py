"""The sessions of XNYS as the simulated market lives them, and New York's wall clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
import numpy.typing as npt

FIRST_DATE = date(2014, 1, 1)
LAST_DATE = date(2033, 12, 31)
"""The simulated market exists between these dates."""

NEW_YORK = ZoneInfo("America/New_York")
PRE_MINUTES = 330
POST_MINUTES = 240


@dataclass(frozen=True)
class Session:
    """One exchange day. Times are naive UTC; segments are half open."""

    session_date: date
    pre_open_at: datetime
    open_at: datetime
    close_at: datetime
    post_close_at: datetime
    is_half_day: bool

    @property
    def regular_minutes(self) -> int:
        """Minutes between the open and the close: 390, on half days 210."""
        return int((self.close_at - self.open_at).total_seconds() // 60)

    @property
    def utc_offset(self) -> timedelta:
        """What to add to UTC to read New York's wall clock on this day."""
        opening = datetime.combine(self.session_date, datetime.min.time())
        return opening + timedelta(hours=9, minutes=30) - self.open_at


@cache
def calendar() -> exchange_calendars.ExchangeCalendar:
    """Return the XNYS calendar over the simulated market's life."""
    return exchange_calendars.get_calendar("XNYS", start=FIRST_DATE, end=LAST_DATE)


@cache
def sessions() -> tuple[Session, ...]:
    """Return every session, oldest first. PRE opens 5.5 h before RTH, POST lasts 4 h."""
    schedule = calendar().schedule
    opens = schedule["open"].dt.tz_convert(None)
    closes = schedule["close"].dt.tz_convert(None)
    return tuple(
        _session(o.to_pydatetime(), c.to_pydatetime()) for o, c in zip(opens, closes, strict=True)
    )


def _session(open_at: datetime, close_at: datetime) -> Session:
    return Session(
        session_date=open_at.date(),
        pre_open_at=open_at - timedelta(minutes=PRE_MINUTES),
        open_at=open_at,
        close_at=close_at,
        post_close_at=close_at + timedelta(minutes=POST_MINUTES),
        is_half_day=close_at - open_at < timedelta(hours=6),
    )


@cache
def session_dates() -> npt.NDArray[np.datetime64]:
    """Return the dates of `sessions()` as datetime64[D]."""
    return np.array([s.session_date for s in sessions()], dtype="M8[D]")


def first_index(day: date) -> int:
    """Return the index of the first session on or after `day`."""
    return int(np.searchsorted(session_dates(), np.datetime64(day), side="left"))


def last_index(day: date) -> int:
    """Return the index of the last session on or before `day`; -1 where there is none."""
    return int(np.searchsorted(session_dates(), np.datetime64(day), side="right")) - 1


def session_on(day: date) -> Session | None:
    """Return the session of `day`; None on a closed day."""
    index = last_index(day)
    if index < 0 or sessions()[index].session_date != day:
        return None
    return sessions()[index]


def new_york_time(moment: datetime) -> datetime:
    """Return New York's wall clock, naive, at `moment` (naive, UTC)."""
    return moment.replace(tzinfo=UTC).astimezone(NEW_YORK).replace(tzinfo=None)


def check_in_life(moment: datetime) -> None:
    """Raise ValueError when the market does not exist at `moment`."""
    if not FIRST_DATE <= moment.date() <= LAST_DATE - timedelta(days=7):
        raise ValueError(
            f"the simulated market lives from {FIRST_DATE} to {LAST_DATE}: "
            f"set its clock between them, not to {moment.isoformat()}"
        )
