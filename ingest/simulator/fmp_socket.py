"""FMP's stream: a login, one firehose of quotes with many sent twice, and heartbeats. No bars."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

from ingest.simulator.market import Market
from ingest.simulator.minute_ticks import (
    MinuteBar,
    Tick,
    find_bar,
    name_number,
    seconds,
)
from ingest.simulator.quotes import Quote, quote_of
from ingest.simulator.sessions import new_york_time
from ingest.simulator.socket_faults import SocketFaults, minute_number
from ingest.simulator.speaker import Heard
from ingest.simulator.view import View

PATH = "/"
STREAM = "fmp-us-equities-stream"
HEARTBEAT_SECONDS = (5.0, 35.0)
"""Of every minute: one about every 30 seconds."""
SENT_TWICE = 0.3
"""Share of quotes that are sent again some seconds later."""


class FmpSpeaker:
    """Speaks as FMP to one client."""

    greeting: tuple[str, ...] = ()
    let_in = ('{"event":"login","data":{"status":200,"message":"Authenticated"}}',)
    refusal = ('{"event":"login","data":{"status":401,"message":"Unauthorized"}}',)
    one_too_many = (
        '{"event":"login","data":{"status":401,"message":"Maximum number of connections reached"}}',
    )
    evicted = (
        '{"event":"login","data":{"status":401,"message":"Connected from another location"}}',
    )

    def __init__(self, market: Market, faults: Callable[[], SocketFaults]) -> None:
        self._market, self._faults = market, faults
        self._quote = lru_cache(4096)(self._make_quote)

    def _make_quote(self, symbol: str, minute: datetime) -> Quote | None:
        return quote_of(View(self._market, minute), symbol)

    def key_in(self, message: Any) -> str | None:
        """Return the key of a login; None for any other message."""
        if not isinstance(message, dict) or message.get("event") != "login":
            return None
        data = message.get("data")
        return str(data.get("apiKey", "")) if isinstance(data, dict) else ""

    def hear(self, message: Any) -> Heard:
        """Answer a message of a client that is logged in."""
        event = message.get("event") if isinstance(message, dict) else None
        data = message.get("data") if isinstance(message, dict) else None
        stream = data.get("stream") if isinstance(data, dict) else None
        if event not in ("subscribe", "unsubscribe") or not stream:
            return Heard()
        is_known = stream == STREAM
        status, words = (200, f"{event}d") if is_known else (401, "Unauthorized")
        ack = json.dumps({"event": event, "data": {"status": status, "message": words}})
        topics = frozenset({stream}) if is_known else frozenset()
        nothing: frozenset[str] = frozenset()
        added, dropped = (topics, nothing) if event == "subscribe" else (nothing, topics)
        return Heard((ack,), added, dropped)

    def frames(self, events: list[Any]) -> Iterator[str]:
        """Return the frames of events that are due at once: one each."""
        for event in events:
            yield event if isinstance(event, str) else json.dumps(event)

    def ticks(self, topic: str, minute: datetime) -> Iterable[Tick]:
        """Return what is sent to subscribers of `topic` about one minute."""
        for second in HEARTBEAT_SECONDS:
            at = minute + seconds(second)
            yield Tick(at, partial(_heartbeat, at))
        for symbol in self._market.symbols(new_york_time(minute).date()):
            found = find_bar(self._market, symbol, minute)
            if found is not None:
                yield from self._quote_ticks(found, minute)

    def _quote_ticks(self, found: MinuteBar, minute: datetime) -> Iterator[Tick]:
        rng = self._faults().rng(4, name_number(found.symbol), minute_number(minute))
        first, last = 1 + 39 * rng.random(), 45 + 14 * rng.random()
        for second, share in ((first, 0.5), (last, 1.0)):
            at = minute + seconds(second)
            make = partial(self._row, found, share, at)
            yield Tick(at, make)
            if rng.random() < SENT_TWICE:
                yield Tick(at + seconds(4), make)

    def _row(self, found: MinuteBar, share: float, at: datetime) -> dict[str, Any]:
        """Return a quote after `share` of a minute's trades."""
        day = new_york_time(at).replace(hour=0, minute=0, second=0, microsecond=0)
        before = self._quote(found.symbol, day)
        opening, close = float(found.bar["open"]), float(found.bar["close"])
        price = round(opening + (close - opening) * share, 4)
        volume = found.volume_so_far - int(found.volume * (1 - share))
        return _quote_row(found, before, price, volume, at)


def _quote_row(
    found: MinuteBar, before: Quote | None, price: float, volume: int, at: datetime
) -> dict[str, Any]:
    """Return a quote; `before` is how the symbol stood before the session."""
    bars = found.so_far
    low, high = float(bars["low"].min()), float(bars["high"].max())
    close_before = before.price if before else float(bars["open"][0])
    year_low, year_high = before.year_range if before else (low, high)
    return {
        "symbol": found.symbol,
        "name": before.profile.company_name if before else None,
        "price": price,
        "changesPercentage": round(100 * (price / close_before - 1), 5),
        "change": round(price - close_before, 4),
        "dayLow": low,
        "dayHigh": high,
        "yearHigh": max(high, year_high),
        "yearLow": min(low, year_low),
        "marketCap": before.market_cap if before else None,
        "priceAvg50": round(before.average("close", 50), 4) if before else None,
        "priceAvg200": round(before.average("close", 200), 5) if before else None,
        "exchange": before.profile.exchange if before else None,
        "volume": volume,
        "avgVolume": int(before.average("volume", 50)) if before else None,
        "open": float(bars["open"][0]),
        "previousClose": close_before,
        "eps": None,
        "pe": None,
        "earningsAnnouncement": None,
        "sharesOutstanding": None,
        "timestamp": int(at.replace(tzinfo=UTC).timestamp()),
    }


def _heartbeat(at: datetime) -> str:
    stamp = int(at.replace(tzinfo=UTC).timestamp() * 1000)
    return json.dumps({"event": "heartbeat", "timestamp": stamp})
