"""What goes wrong with a provider's stream, switched on by rate. All is off by default.

Which minutes are hit depends on the seed and the minute only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ingest.simulator.faults import parse_rates


@dataclass(frozen=True)
class SocketFaults:
    """Rates between 0 and 1: shares of the market's minutes, or where noted of bars or logins."""

    cut: float = 0.0
    """The connection is cut at some moment of the minute."""
    stall: float = 0.0
    """Nothing is sent of the minute, not even a heartbeat, though the connection stays."""
    slow: float = 0.0
    """What is sent of the minute comes `slow_seconds` later than usual."""
    garbage_frame: float = 0.0
    """One frame is no JSON."""
    corrected_bars: float = 0.0
    """Share of minute bars that come too small first, and as they are a minute later."""
    auth_failed: float = 0.0
    """Share of logins that are refused."""
    evicts_older: float = 0.0
    """Share of the logins of a second client at which the first is closed, not the second."""
    slow_seconds: float = 20.0
    """By the market's clock."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (*MINUTE_RATES, *OTHER_RATES):
            rate = getattr(self, name)
            if not 0.0 <= rate <= 1.0:
                raise ValueError(f"fault {name} is {rate}: expected a rate from 0 to 1")

    def drawn_minute(self, minute: datetime) -> frozenset[str]:
        """Return the names of the faults that this minute has."""
        if not any(getattr(self, name) for name in MINUTE_RATES):
            return frozenset()
        draws = self.rng(1, minute_number(minute)).random(len(MINUTE_RATES))
        pairs = zip(MINUTE_RATES, draws, strict=True)
        return frozenset(name for name, draw in pairs if draw < getattr(self, name))

    def is_drawn(self, name: str, number: int) -> bool:
        """Return whether login number `number` has the fault."""
        rate: float = getattr(self, name)
        return bool(self.rng(2, OTHER_RATES.index(name), number).random() < rate)

    def rng(self, *parts: int) -> np.random.Generator:
        """Return random numbers that depend on the seed and `parts` only."""
        return np.random.default_rng([self.seed, *parts])


MINUTE_RATES = ("cut", "stall", "slow", "garbage_frame")
OTHER_RATES = ("corrected_bars", "auth_failed", "evicts_older")


def minute_number(minute: datetime) -> int:
    """Return a minute as the number of minutes since 1970."""
    return int((minute - datetime(1970, 1, 1)).total_seconds()) // 60


def parse_socket_faults(texts: list[str], seed: int = 0) -> SocketFaults:
    """Return the faults of `NAME=RATE` texts; ValueError with the names to choose from."""
    names = (*MINUTE_RATES, *OTHER_RATES, "slow_seconds")
    return SocketFaults(seed=seed, **parse_rates(texts, names))
