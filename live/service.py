"""What a running service consists of: all that its routes need."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ingest.clock import Clock
from ingest.settings import Settings
from live.broadcast import Broadcaster
from live.feeds import Feed
from live.health import Health, describe
from live.messages import Heartbeat
from live.metrics import Metrics
from live.monitor import Monitor
from live.prompt.runner import Runner
from live.scoring import Scorer
from live.signals import utc_text
from live.states import NewestStates
from live.warehouse import LiveWarehouse

MAX_STRANGERS = 64
"""WebSockets at once that have still to show the token."""


@dataclass(frozen=True)
class Service:
    """All that the routes need."""

    settings: Settings
    clock: Clock
    feed: Feed
    warehouse: LiveWarehouse
    broadcaster: Broadcaster
    scorer: Scorer
    monitor: Monitor
    metrics: Metrics
    prompt: Runner
    states: NewestStates
    door: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_STRANGERS))
    """Held by WebSockets that have still to show the token."""

    def heartbeat(self) -> Heartbeat:
        """Return the heartbeat of now."""
        now = utc_text(self.clock.now(), milliseconds=True)
        return Heartbeat(now, self.broadcaster.last_seq, self.health().status)

    async def beat(self) -> None:
        """Have every client sent a heartbeat from time to time, without end."""
        while True:
            await asyncio.sleep(self.settings.live_heartbeat_seconds)
            self.broadcaster.beat(self.heartbeat())

    def health(self) -> Health:
        """Return the service's health now."""
        return describe(
            self.monitor,
            self.broadcaster,
            now=self.clock.now(),
            provider=self.feed.provider,
            notes=self.feed.notes,
            model_run=self.scorer.run_id,
            snapshot=self.warehouse.snapshot,
        )
