"""What is known before the bars of coming minutes, prepared while the service waits for them.

When the bars come, windows and joins to the nightly tables are done (int_known_before.sql), and
intermediate.int_states_prepared only puts the bars beside them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from live.live_tables import LiveTables
from live.served import named_statements

STATEMENTS = named_statements("prepared.sql")

FEW_SYMBOLS = 100
"""The day's bars of so many are read in less time than DuckDB plans how to read the minute's."""


def plan_states(connection: duckdb.DuckDBPyConnection, symbols: int) -> None:
    """Plan `execute states_prepared`, which reads the states of a minute's bars.

    DuckDB keeps a plan that its optimizer had no part in; any other is made anew by each read.
    """
    connection.execute(f"set enable_optimizer = {symbols > FEW_SYMBOLS}")
    try:
        connection.execute(STATEMENTS["plan"]).fetchall()
    finally:
        connection.execute("set enable_optimizer = true")


@dataclass(frozen=True)
class Basis:
    """What prepared rows are made of, besides bars, and whose bars they are for."""

    session_date: date
    snapshot: str
    provider: str
    symbols: frozenset[str]


class PreparedRows:
    """The rows of intermediate.int_bars_prepared: which minutes' bars they hold good for.

    Its statements run in the caller's transaction; where that fails, `forget`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, live_tables: LiveTables) -> None:
        self._connection = connection
        self._live_tables = live_tables
        self._minutes: set[datetime] = set()
        self._basis: Basis | None = None

    def forget(self) -> None:
        """Have nothing prepared."""
        self._minutes, self._basis = set(), None

    def expect(self, provider: str, symbols: Collection[str]) -> None:
        """Have nothing prepared where bars came that it was not done for."""
        basis = self._basis
        if basis and not (provider == basis.provider and basis.symbols.issuperset(symbols)):
            self.forget()

    def outdate(self, since: datetime) -> None:
        """Know that bars changed from `since` on: what stands on them holds no more."""
        self._minutes = {minute for minute in self._minutes if minute <= since}

    def hold(self, minute: datetime, basis: Basis) -> bool:
        """Return whether the rows of a minute hold good."""
        return minute in self._minutes and basis == self._basis

    def prepare(self, minute: datetime, basis: Basis, stale_since: datetime | None) -> None:
        """Prepare the rows of a minute that has no bars yet.

        The live tables that have a row per bar are made fresh with it, from `stale_since` on.
        """
        if basis != self._basis:
            self.forget()
        self._minutes = set(sorted(self._minutes)[-1:])  # bars of an older one are too late
        self._run(
            "put_stand_ins",
            symbols=sorted(basis.symbols),
            session_date=basis.session_date,
            minute=minute,
            provider=basis.provider,
        )
        self._live_tables.freshen_bars(stale_since or minute, minute)
        self._run("drop_outdated", minutes=sorted(self._minutes))
        self._live_tables.want_rows(minute)
        self._run("keep_known", minute=minute)
        self._run("drop_stand_ins", minute=minute)
        self._live_tables.drop_bars_from(minute)
        self._minutes.add(minute)
        self._basis = basis
        plan_states(self._connection, len(basis.symbols))

    def _run(self, statement: str, **values: object) -> None:
        self._connection.execute(STATEMENTS[statement], values).fetchall()
