"""How Massive's socket is spoken to: logging in, and what is subscribed to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from websockets.sync.client import ClientConnection

from live.feeds.connection import BrokenError, BusyError, RefusedError, receive
from live.feeds.massive_events import MINUTE_BAR, SECOND_BAR, Event, events_of, topic

EVERYTHING_ABOVE = 1_000
"""A watchlist longer than this subscribes to every symbol there is."""
TOPICS_PER_MESSAGE = 500
ACKNOWLEDGED = "subscribed to: "


class MassiveDialogue:
    """Massive's login and subscriptions."""

    name = "Massive's stream"

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def greet(self, socket: ClientConnection) -> None:
        """Log in. Raises RefusedError, BusyError, BrokenError."""
        self._await(socket, "connected")
        socket.send(json.dumps({"action": "auth", "params": self._api_key}))
        self._await(socket, "auth_success")

    def _await(self, socket: ClientConnection, wanted: str) -> None:
        """Read until a status `wanted` comes."""
        while True:
            for event in self._statuses(receive(socket)):
                status, said = event.get("status"), self._said(event)
                if status == "auth_failed":
                    raise RefusedError(f"Massive refuses the key: {said} Check MASSIVE_API_KEY")
                if status == "max_connections":
                    raise BusyError(f"another connection of this account is open: {said}")
                if status == wanted:
                    return

    @staticmethod
    def _statuses(data: str | bytes) -> Iterable[Event]:
        try:
            return [event for event in events_of(data) if event.get("ev") == "status"]
        except ValueError as error:
            raise BrokenError(str(error)) from None

    def _said(self, event: Event) -> str:
        return str(event.get("message") or "no reason given.").replace(self._api_key, "***")

    def subscribe(
        self, socket: ClientConnection, added: frozenset[str], dropped: frozenset[str]
    ) -> None:
        """Ask for topics, and for no more of others."""
        for action, topics in (("unsubscribe", sorted(dropped)), ("subscribe", sorted(added))):
            for first in range(0, len(topics), TOPICS_PER_MESSAGE):
                params = ",".join(topics[first : first + TOPICS_PER_MESSAGE])
                socket.send(json.dumps({"action": action, "params": params}))


def topics_of(symbols: Sequence[str], *, has_seconds: bool) -> frozenset[str]:
    """Return what to subscribe to, for the bars of these symbols."""
    kinds = (MINUTE_BAR, SECOND_BAR) if has_seconds else (MINUTE_BAR,)
    asked = ["*"] if len(symbols) > EVERYTHING_ABOVE else symbols
    return frozenset(topic(kind, symbol) for kind in kinds for symbol in asked)
