"""Opening hours and holidays of the exchanges."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from ingest.simulator.answers import (
    INVALID_EXCHANGE,
    Answer,
    Params,
    day_of,
    number_of,
    required,
    rows,
    text,
)
from ingest.simulator.sessions import (
    FIRST_DATE,
    LAST_DATE,
    calendar,
    new_york_time,
    session_on,
    sessions,
)
from ingest.simulator.view import View

EXCHANGES = {
    "NASDAQ": "NASDAQ",
    "NYSE": "New York Stock Exchange",
    "AMEX": "New York Stock Exchange Arca",
}

_NAMES = {
    "Dr. Martin Luther King Jr. Day": "Martin Luther King Jr. Day",
    "President's Day": "Washington's Birthday",
    "Juneteenth National Independence Day": "Juneteenth",
    "July 4th": "Independence Day",
}


def exchange_market_hours(view: View, params: Params) -> Answer:
    """Answer `exchange-market-hours`: one code, in any case."""
    code = required(params, "exchange").upper()
    if code not in EXCHANGES:
        return text(400, INVALID_EXCHANGE)
    return rows([_hours_row(code, _moment(view, params))])


def all_exchange_market_hours(view: View, params: Params) -> Answer:
    """Answer `all-exchange-market-hours` with the exchanges that this market has."""
    moment = _moment(view, params)
    return rows([_hours_row(code, moment) for code in EXCHANGES])


def _moment(view: View, params: Params) -> datetime:
    stamp = number_of(params, "timestamp")
    if stamp is None or not 0 <= stamp < 4e9:
        return view.now
    return datetime.fromtimestamp(stamp, UTC).replace(tzinfo=None)


def _hours_row(code: str, moment: datetime) -> dict[str, Any]:
    session = session_on(new_york_time(moment).date())
    opening = closing = "CLOSED"
    if session is not None:
        offset = f"{int(session.utc_offset.total_seconds() // 3600):+03d}:00"
        opening = f"{session.open_at + session.utc_offset:%I:%M %p} {offset}"
        closing = f"{session.close_at + session.utc_offset:%I:%M %p} {offset}"
    return {
        "exchange": code,
        "name": EXCHANGES[code],
        "openingHour": opening,
        "closingHour": closing,
        "timezone": "America/New_York",
        "isMarketOpen": session is not None and session.open_at <= moment < session.close_at,
    }


def holidays_by_exchange(view: View, params: Params) -> Answer:
    """Answer `holidays-by-exchange`: after `from`, up to `to`; without them the last year."""
    code = required(params, "exchange").upper()
    if code not in EXCHANGES:
        return text(400, INVALID_EXCHANGE)
    end = day_of(params, "to") or view.today
    start = day_of(params, "from") or end - timedelta(days=365)
    found = [row for row in _holidays() if start < row[0] <= end]
    return rows([_holiday_row(code, *row) for row in reversed(found)])


def _holiday_row(code: str, day: date, name: str, close: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "exchange": code,
        "date": day.isoformat(),
        "name": name,
        "isClosed": True if close is None else None,
        "adjOpenTime": None,
        "adjCloseTime": close,
    }
    return row if close is None else {**row, "isFullyClosed": False}


@cache
def _holidays() -> tuple[tuple[date, str, str | None], ...]:
    """Return (date, name, closing time or None where closed all day), oldest first."""
    named = calendar().regular_holidays.holidays(FIRST_DATE, LAST_DATE, return_name=True)
    found = [
        (day.date(), _NAMES.get(name, name), None)
        for day, name in named.items()
        if day.weekday() < 5
    ]
    found += [
        (day.date(), "Special Closure", None)
        for day in calendar().adhoc_holidays
        if FIRST_DATE <= day.date() <= LAST_DATE
    ]
    early = {7: "Independence Day", 11: "Thanksgiving", 12: "Christmas"}
    half_days = [
        (s.session_date, early.get(s.session_date.month, "Early Close"), "13:00")
        for s in sessions()
        if s.is_half_day
    ]
    closed = [row for row in found if session_on(row[0]) is None]
    return tuple(sorted([*closed, *half_days], key=lambda row: row[0]))
