"""What was served, kept with what was known: the rows that signals are made from."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc


def named_statements(file_name: str) -> dict[str, str]:
    """Return the statements of a .sql file beside this module, by the `-- name:` above each."""
    text = Path(__file__).with_name(file_name).read_text()
    pattern = r"^-- name: (\w+)\n(.*?);?\s*(?=^-- name: |\Z)"
    return dict(re.findall(pattern, text, re.MULTILINE | re.DOTALL))


warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)
"""The other way, `sql`, plans a query twice, which takes longer than to copy its rows."""

STATEMENTS = named_statements("served.sql")


def planned_read(since: datetime) -> str:
    """Return the read of the states beside prepared rows, by the plan of prepared.sql."""
    return f"execute states_prepared(since := timestamp '{since}')"


@dataclass(frozen=True)
class Answer:
    """What the views gave for a session's bars from `since` on, and what they were asked with."""

    rows: pa.Table
    session_date: date
    snapshot: str
    symbols: tuple[str, ...]
    since: datetime
    evaluated_at: datetime


class ServedRows:
    """Evaluates the views of live.duckdb and keeps what they gave, in raw.served_features.

    Its statements run in the caller's transaction, on the connection of the one thread that writes.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        definitions = connection.execute(
            "select feature, definition_hash from marts.feature_definitions"
        ).fetchall()
        known = {feature for feature, _ in definitions}
        columns = connection.execute("describe marts.states_1m").fetchall()
        self._features = [name for name, *_ in columns if name in known]
        self._definition_hash = definitions[0][1] if definitions else ""
        self._newest_kept: datetime | None = None
        self._inputs: tuple[date, str, tuple[str, ...]] | None = None
        self._unkept: Answer | None = None

    def evaluate(
        self,
        session_date: date,
        snapshot: str,
        symbols: Sequence[str],
        since: datetime,
        evaluated_at: datetime,
        *,
        are_prepared: bool,
    ) -> pa.Table:
        """Evaluate the bars of a session from `since` on; return their rows.

        They are to be kept, by `keep`. `are_prepared`: what is known before each of the
        bars is in intermediate.int_bars_prepared, and how to read it is planned (prepared.sql).
        """
        if are_prepared:
            result = self._connection.execute(planned_read(since))
        else:
            bounds = {"session_date": session_date, "since": since}
            result = self._connection.execute(STATEMENTS["evaluate"], bounds)
        rows: pa.Table = result.to_arrow_table()
        self._unkept = Answer(rows, session_date, snapshot, tuple(symbols), since, evaluated_at)
        return rows

    @property
    def has_unkept(self) -> bool:
        """Whether what was evaluated last is still to be kept."""
        return self._unkept is not None

    def keep(self) -> None:
        """Keep what was evaluated last, where it is new, and what it was made from."""
        if self._unkept is not None:
            self._keep_inputs(self._unkept)
            if self._unkept.rows.num_rows:
                self._keep_rows(self._unkept)
            self._unkept = None

    def _keep_rows(self, made: Answer) -> None:
        are_new = self._newest_kept is not None and made.since > self._newest_kept
        values = {
            "session_date": made.session_date,
            "since": made.since,
            "evaluated_at": made.evaluated_at,
            "features": self._features,
            "are_new": are_new,
        }
        self._connection.register("evaluated", made.rows)
        self._connection.execute(STATEMENTS["keep_rows"], values).fetchall()
        self._connection.unregister("evaluated")
        newest = pc.max(made.rows["bar_at"]).as_py()
        self._newest_kept = max(newest, self._newest_kept or newest)

    def _keep_inputs(self, made: Answer) -> None:
        """Keep what else the symbols' features are made from, where it is not what it was."""
        inputs = (made.session_date, made.snapshot, made.symbols)
        if inputs == self._inputs:
            return
        values = {
            "session_date": made.session_date,
            "symbols": list(made.symbols),
            "features": self._features,
            "definition_hash": self._definition_hash,
            "evaluated_at": made.evaluated_at,
        }
        self._connection.execute(STATEMENTS["keep_inputs"], values).fetchall()
        self._inputs = inputs
