"""Massive's frames: a JSON array of events. Pure: text in, rows and statuses out.

Source: https://massive.com/docs/websocket/stocks/aggregates-per-minute and the vendor's client.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from ingest.providers.fmp_tables import STAMP, numbers

Event = dict[str, Any]
MINUTE_BAR, SECOND_BAR = "AM", "A"
EPOCH = datetime(1970, 1, 1)


def events_of(data: str | bytes) -> list[Event]:
    """Return the events of a frame. Raises ValueError for what is no array of objects."""
    try:
        events = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"a frame is no JSON: {data[:60]!r}") from error
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise ValueError(f"a frame is no array of events: {data[:60]!r}")
    return events


def to_massive(symbol: str) -> str:
    """Return a symbol as Massive writes it: BRK.B for BRK-B."""
    return symbol.replace("-", ".")


def symbol_of(event: Event) -> str:
    """Return an event's symbol as it is written here."""
    return str(event.get("sym") or "").replace(".", "-")


def topic(kind: str, symbol: str) -> str:
    """Return what is subscribed to for bars of one kind."""
    return f"{kind}.{to_massive(symbol)}"


def starts_at(event: Event) -> datetime | None:
    """Return when an aggregate begins (naive UTC); None where it does not say so."""
    stamp = event.get("s")
    if isinstance(stamp, bool) or not isinstance(stamp, int | float) or not 0 < stamp < 4e12:
        return None
    return EPOCH + timedelta(milliseconds=stamp)


def bars_table(events: Sequence[Event], session_date: date) -> pa.Table:
    """Return raw.bars_1m rows of aggregates, in their order.

    A start that can't be read stays null, and a price that is no number too: both are rejected on
    landing.
    """
    rows = list(events)
    names = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    return pa.table(
        {
            "symbol": pa.array([symbol_of(event) for event in rows], pa.string()),
            "session_date": pa.array([session_date] * len(rows), pa.date32()),
            "bar_at": pa.array([starts_at(event) for event in rows], STAMP),
            **{column: numbers(rows, key) for column, key in names.items()},
        }
    )
