"""Massive's stream: its statuses, and aggregates of minutes (AM) and seconds (A) as they end.

Source: https://massive.com/docs/websocket/stocks/aggregates-per-minute.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np

from ingest.simulator.faults import shrink
from ingest.simulator.market import Market
from ingest.simulator.minute_ticks import (
    MinuteBar,
    Tick,
    find_bar,
    name_number,
    seconds,
    split_into_seconds,
)
from ingest.simulator.sessions import new_york_time
from ingest.simulator.socket_faults import SocketFaults, minute_number
from ingest.simulator.speaker import Heard

PATH = "/stocks"
DELAY = (0.8, 2.4)
"""Seconds from a minute's end to its bar."""
CORRECTED_AFTER = 60.0
TOO_MANY = (
    "Maximum number of websocket connections exceeded. You have reached the connection limit for "
    "your account. Please contact support at https://polygon.io/contact to increase your limit."
)


class MassiveSpeaker:
    """Speaks as Massive to one client."""

    greeting = ('[{"ev":"status","status":"connected","message":"Connected Successfully"}]',)
    let_in = ('[{"ev":"status","status":"auth_success","message":"authenticated"}]',)
    refusal = ('[{"ev":"status","status":"auth_failed","message":"authentication failed"}]',)
    evicted = (json.dumps([{"ev": "status", "status": "max_connections", "message": TOO_MANY}]),)
    one_too_many = (*let_in, *evicted)
    """Only after a full handshake, as reported."""

    def __init__(self, market: Market, faults: Callable[[], SocketFaults]) -> None:
        self._market, self._faults = market, faults

    def key_in(self, message: Any) -> str | None:
        """Return the key of a login; None for any other message."""
        is_login = isinstance(message, dict) and message.get("action") == "auth"
        return str(message.get("params", "")) if is_login else None

    def hear(self, message: Any) -> Heard:
        """Answer a message of a client that is logged in."""
        action = message.get("action") if isinstance(message, dict) else None
        if action not in ("subscribe", "unsubscribe"):
            return Heard((_statuses("error", ["invalid action"]),))
        topics = frozenset(filter(None, str(message.get("params", "")).split(",")))
        acks = _statuses("success", [f"{action}d to: {topic}" for topic in sorted(topics)])
        nothing: frozenset[str] = frozenset()
        added, dropped = (topics, nothing) if action == "subscribe" else (nothing, topics)
        return Heard((acks,), added, dropped)

    def frames(self, events: list[Any]) -> Iterator[str]:
        """Return the frames of events that are due at once: one array."""
        rows = [event for event in events if not isinstance(event, str)]
        if rows:
            yield json.dumps(rows, separators=(",", ":"))
        yield from (event for event in events if isinstance(event, str))

    def ticks(self, topic: str, minute: datetime) -> Iterable[Tick]:
        """Return what is sent to subscribers of `topic` about one minute."""
        kind, _, name = topic.partition(".")
        if kind not in ("AM", "A"):
            return
        day = new_york_time(minute).date()
        symbols = self._market.symbols(day) if name == "*" else [name.replace(".", "-")]
        for symbol in symbols:
            found = find_bar(self._market, symbol, minute)
            if found is not None:
                yield from self._bar_ticks(kind, found, minute)

    def _bar_ticks(self, kind: str, found: MinuteBar, minute: datetime) -> Iterator[Tick]:
        faults = self._faults()
        rng = faults.rng(3, name_number(found.symbol), minute_number(minute))
        delay, is_corrected = rng.uniform(*DELAY), rng.random() < faults.corrected_bars
        if kind == "A":
            for second, part in split_into_seconds(found, rng):
                start = minute + seconds(second)
                event = partial(_event, "A", found, part, start, start + seconds(1))
                yield Tick(start + seconds(1.3), event)
            return
        end = minute + seconds(60)
        make = partial(_event, "AM", found, _values(found.bar), minute, end)
        if is_corrected and found.volume > 1:
            early = np.array([found.bar])
            shrink(early, 0, rng.uniform(0.3, 0.9))
            yield Tick(
                end + seconds(delay), partial(_event, "AM", found, _values(early[0]), minute, end)
            )
            delay += CORRECTED_AFTER
        yield Tick(end + seconds(delay), make)


def _values(bar: Any) -> dict[str, float]:
    return {name: float(bar[name]) for name in ("open", "high", "low", "close", "volume")}


def _event(
    kind: str, found: MinuteBar, values: dict[str, float], start: datetime, end: datetime
) -> dict[str, Any]:
    typical = round((values["high"] + values["low"] + values["close"]) / 3, 4)
    return {
        "ev": kind,
        "sym": found.symbol.replace("-", "."),
        "v": _whole(values["volume"]),
        "av": found.volume_so_far,
        "op": float(found.so_far["open"][_first_regular(found)]),
        "vw": typical,
        "o": values["open"],
        "c": values["close"],
        "h": values["high"],
        "l": values["low"],
        "a": round(_day_vwap(found), 4),
        "z": int(min(max(np.nan_to_num(values["volume"]), 1), 685)),
        "s": _milliseconds(start),
        "e": _milliseconds(end),
    }


def _first_regular(found: MinuteBar) -> int:
    """Return the row of the regular session's first bar; the first of the day before the open."""
    row = int(np.searchsorted(found.so_far["bar_at"], np.datetime64(found.session_open_at, "us")))
    return row if row < len(found.so_far) else 0


def _day_vwap(found: MinuteBar) -> float:
    bars = found.so_far
    volumes = np.nan_to_num(bars["volume"])
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    total = float(volumes.sum())
    return float((typical * volumes).sum() / total) if total else float(typical[-1])


def _whole(volume: float) -> int | None:
    return None if np.isnan(volume) else int(volume)


def _milliseconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _statuses(status: str, messages: list[str]) -> str:
    events = [{"ev": "status", "status": status, "message": message} for message in messages]
    return json.dumps(events, separators=(",", ":"))
