"""Provisional signals in live.duckdb: what the views say of bars that form, and what is stored.

An event is stored before it is sent; after a restart the table tells what is not settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import pyarrow as pa

from live.provisional import Pending, ProvisionalEvent, may_be_raised, raise_entry, settle
from live.served import named_statements
from live.signals import Entry
from live.warehouse import LiveWarehouse, to_entries

STATEMENTS = named_statements("provisional.sql")


class FormingRows:
    """Raises and settles provisional signals. Belongs to the one thread that writes."""

    def __init__(self, warehouse: LiveWarehouse) -> None:
        self._warehouse = warehouse
        self._has_none: set[date] = set()
        """Sessions of which all is settled."""
        self._unsent: list[ProvisionalEvent] = []

    def take_events(self) -> list[ProvisionalEvent]:
        """Return the events that were stored and are still to be sent."""
        events, self._unsent = self._unsent, []
        return events

    def follow(
        self,
        session_date: date,
        forming: pa.Table | None,
        provider: str,
        last: Mapping[str, datetime],
        now: datetime,
    ) -> None:
        """Settle what was raised in the session, then raise what passes the rules as it stands.

        `last` has each symbol's latest signal. None are raised without bars that form, nor while
        the var provisional_signals is off.
        """
        self.settle(session_date, provider, now)
        if forming is not None and forming.num_rows:
            self._raise(session_date, forming, provider, last, now)

    def settle(self, session_date: date, provider: str, now: datetime) -> None:
        """Settle what was raised in a session; all of its bars that have come are evaluated."""
        self._store(settle(self._pending(session_date), now), provider, now)

    def _raise(
        self,
        session_date: date,
        forming: pa.Table,
        provider: str,
        last: Mapping[str, datetime],
        now: datetime,
    ) -> None:
        (rules,) = self._warehouse.read("from published.marts.signal_rules")
        if not rules.get("provisional_signals"):  # a snapshot from before this var lacks it
            return
        keys = list(zip(forming["symbol"].to_pylist(), forming["bar_at"].to_pylist(), strict=True))
        pending = self._pending(session_date)
        asked = may_be_raised(keys, pending, last, rules["cooldown_min"], now)
        bars = forming.filter(pa.array([key in asked for key in keys]))
        entries = self._entries(bars, provider, now)
        self._store([raise_entry(entry, now) for entry in entries], provider, now)

    def _pending(self, session_date: date) -> list[Pending]:
        if session_date in self._has_none:
            return []
        rows = self._warehouse.read(STATEMENTS["pending"], {"session_date": session_date})
        if not rows:
            self._has_none.add(session_date)
        return [Pending(**row) for row in rows]

    def _entries(self, bars: pa.Table, provider: str, now: datetime) -> list[Entry]:
        """Return which of the bars are entries as they stand. Nothing of them stays."""
        if not bars.num_rows:
            return []
        minute = {name: bars[name][0].as_py() for name in ("session_date", "bar_at")}
        with self._warehouse.trial(bars, provider, now) as connection:
            rows = connection.sql(STATEMENTS["entries"], params=minute).to_arrow_table()
        return to_entries(rows)

    def _store(self, events: list[ProvisionalEvent], provider: str, now: datetime) -> None:
        if events:
            rows = [event.as_row() for event in events]
            self._warehouse.store("provisional_events", rows, provider, now)
            self._has_none -= {event.session_date for event in events}
            self._unsent += events
