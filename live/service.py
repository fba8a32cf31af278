"""What a running service consists of: all that its routes need."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.clock import Clock
from live.broadcast import Broadcaster
from live.feeds import Feed
from live.health import Health, describe
from live.monitor import Monitor
from live.scoring import Scorer
from live.warehouse import LiveWarehouse


@dataclass(frozen=True)
class Service:
    """All that the routes need."""

    clock: Clock
    feed: Feed
    warehouse: LiveWarehouse
    broadcaster: Broadcaster
    scorer: Scorer
    monitor: Monitor

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
