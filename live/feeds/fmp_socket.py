"""How FMP's socket is spoken to: a login, and one stream of every US stock."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from websockets.sync.client import ClientConnection

from live.feeds.connection import BrokenError, BusyError, RefusedError, receive

STREAM = "fmp-us-equities-stream"
ELSEWHERE = ("another location", "Maximum number of connections")


class FmpDialogue:
    """FMP's login and its one subscription."""

    name = "FMP's stream"

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def greet(self, socket: ClientConnection) -> None:
        """Log in. Raises RefusedError, BusyError, BrokenError."""
        socket.send(json.dumps({"event": "login", "data": {"apiKey": self._api_key}}))
        while True:
            message = message_of(receive(socket))
            if message.get("event") != "login":
                continue
            answer = message["data"] if isinstance(message.get("data"), dict) else message
            if answer.get("status") == 200:
                return
            said = str(answer.get("message") or "no reason given").replace(self._api_key, "***")
            if any(words in said for words in ELSEWHERE):
                raise BusyError(f"another connection of this account is open: {said}")
            raise RefusedError(f"FMP refuses the key: {said}: check FMP_API_KEY in .env")

    def subscribe(
        self, socket: ClientConnection, added: frozenset[str], dropped: frozenset[str]
    ) -> None:
        """Ask for streams, and for no more of others."""
        for event, streams in (("unsubscribe", sorted(dropped)), ("subscribe", sorted(added))):
            for stream in streams:
                socket.send(json.dumps({"event": event, "data": {"stream": stream}}))


def message_of(data: str | bytes) -> dict[str, Any]:
    """Return the object of a frame. Raises BrokenError for what is none."""
    try:
        message = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise BrokenError(f"a frame is no JSON object: {data[:60]!r}")
    return message
