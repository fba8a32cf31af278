"""Where every watched symbol stands: read once per change, however many ask."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from live.monitor import Monitor
from live.warehouse import LiveWarehouse

NEWEST_STATES = Path(__file__).with_name("states.sql").read_text()
CLOSES = 60
"""How many of the session's last closes go with a state."""


class NewestStates:
    """The rows of states.sql as of the monitor's last landing. May be read from any thread."""

    def __init__(self, warehouse: LiveWarehouse, monitor: Monitor) -> None:
        self._warehouse = warehouse
        self._monitor = monitor
        self._reading = threading.Lock()
        self._read_at: tuple[object, ...] | None = None
        self._rows: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        """Return a row per watched symbol that has a bar in the session, by symbol."""
        session, counts = self._monitor.session, self._monitor.counts
        if session is None:
            return []
        with self._reading:
            moment = (session, counts.ticks, counts.bars.inserted, counts.bars.revised)
            if moment != self._read_at:
                bound = {"session_date": session.session_date, "closes": CLOSES}
                self._rows = self._warehouse.read(NEWEST_STATES, bound)
                self._read_at = moment
            return self._rows
