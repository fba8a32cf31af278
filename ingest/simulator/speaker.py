"""What the simulated streams of two providers have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ingest.simulator.minute_ticks import Tick


@dataclass(frozen=True)
class Heard:
    """What a client's message leads to."""

    answers: Sequence[str] = ()
    added: frozenset[str] = frozenset()
    """Topics that it is sent from now on."""
    dropped: frozenset[str] = frozenset()


class Speaker(Protocol):
    """One provider's side of a conversation, without the socket."""

    @property
    def greeting(self) -> Sequence[str]:
        """Frames on connecting."""

    @property
    def let_in(self) -> Sequence[str]:
        """Frames after a login with a key that is known."""

    @property
    def refusal(self) -> Sequence[str]:
        """Frames after any other login; then it hangs up."""

    @property
    def one_too_many(self) -> Sequence[str]:
        """Frames for a connection beyond the one that is allowed; then it hangs up."""

    @property
    def evicted(self) -> Sequence[str]:
        """Frames for a connection whose place another one takes; then it hangs up."""

    def key_in(self, message: Any) -> str | None:
        """Return the key of a login; None for any other message."""

    def hear(self, message: Any) -> Heard:
        """Answer a message of a client that is logged in."""

    def ticks(self, topic: str, minute: datetime) -> Iterable[Tick]:
        """Return what is sent to subscribers of `topic` about one minute."""

    def frames(self, events: list[Any]) -> Iterator[str]:
        """Return the frames of events that are due at once."""
