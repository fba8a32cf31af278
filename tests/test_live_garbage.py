"""Garbage is collected between ticks, by the service's monitor and by nobody else."""

from __future__ import annotations

import gc
import weakref

from ingest.settings import Settings
from live.garbage import left_for_pauses
from tests.live_server import serving, wait_until


class Cycle:
    """Refers to itself, so that it can only be collected."""

    def __init__(self) -> None:
        self.itself = self


def test_monitor_collects_what_is_left_for_pauses(settings: Settings) -> None:
    with left_for_pauses():
        garbage = [weakref.ref(Cycle()) for _ in range(100_000)]
        assert all(dead() for dead in garbage), "it was collected at once"
        with serving(settings):
            wait_until(lambda: not any(dead() for dead in garbage))
    assert gc.isenabled() and gc.get_freeze_count() == 0
