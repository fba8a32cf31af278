"""What one client of a stream is sent, and when: by the market's clock, minute by minute."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from ingest.simulator.minute_ticks import Tick, seconds
from ingest.simulator.socket_faults import SocketFaults, minute_number
from ingest.simulator.speaker import Speaker

MINUTE = timedelta(minutes=1)
GARBAGE = '[{"ev":"AM","sym":"GAR'


class CutError(Exception):
    """The connection ends here without a word."""


class Outbox:
    """The ticks to come of the topics that a client has subscribed to."""

    def __init__(self, speaker: Speaker, faults: Callable[[], SocketFaults], now: datetime) -> None:
        self._speaker, self._faults = speaker, faults
        self._topics: set[str] = set()
        self._begun_at = now
        self._planned_to = _floor(now)
        """The minute that is planned next."""
        self._heap: list[tuple[datetime, int, str, Tick]] = []
        self._numbers = count()

    def change(self, added: frozenset[str], dropped: frozenset[str], now: datetime) -> None:
        """Follow other topics; of new ones, what is due from `now` on."""
        self._topics -= dropped
        for topic in sorted(added - self._topics):
            for minute in (self._planned_to - 2 * MINUTE, self._planned_to - MINUTE):
                self._plan(topic, minute, now)
        self._topics |= added

    def due(self, now: datetime) -> list[Any]:
        """Return what is due by `now`, in its order. Raises CutError where the connection ends."""
        while self._planned_to <= now:
            self._plan_faults(self._planned_to)
            for topic in sorted(self._topics):
                self._plan(topic, self._planned_to, datetime.min)
            self._planned_to += MINUTE
        events = []
        while self._heap and self._heap[0][0] <= now:
            _, _, topic, tick = heapq.heappop(self._heap)
            if topic and topic not in self._topics:
                continue
            if tick.make is None:
                raise CutError
            events.append(tick.make())
        return events

    def _plan(self, topic: str, minute: datetime, since: datetime) -> None:
        drawn = self._faults().drawn_minute(minute)
        if "stall" in drawn:
            return
        late = seconds(self._faults().slow_seconds if "slow" in drawn else 0)
        for tick in self._speaker.ticks(topic, minute):
            if tick.due_at + late > since:
                self._push(topic, Tick(tick.due_at + late, tick.make))

    def _plan_faults(self, minute: datetime) -> None:
        faults = self._faults()
        drawn, rng = faults.drawn_minute(minute), faults.rng(5, minute_number(minute))
        moments = [minute + seconds(60 * part) for part in rng.random(2)]
        if "cut" in drawn and moments[0] > self._begun_at:
            self._push("", Tick(moments[0], None))
        if "garbage_frame" in drawn and moments[1] > self._begun_at:
            self._push("", Tick(moments[1], lambda: GARBAGE))

    def _push(self, topic: str, tick: Tick) -> None:
        heapq.heappush(self._heap, (tick.due_at, next(self._numbers), topic, tick))


def _floor(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
