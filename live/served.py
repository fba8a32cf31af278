"""What was served, kept with what was known: the rows that signals are made from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa


def named_statements(file_name: str) -> dict[str, str]:
    """Return the statements of a .sql file beside this module, by the `-- name:` above each."""
    text = Path(__file__).with_name(file_name).read_text()
    pattern = r"^-- name: (\w+)\n(.*?);?\s*(?=^-- name: |\Z)"
    return dict(re.findall(pattern, text, re.MULTILINE | re.DOTALL))


STATEMENTS = named_statements("served.sql")


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
        self._inputs: tuple[date, str, tuple[str, ...]] | None = None

    def evaluate(self, session_date: date, since: datetime, evaluated_at: datetime) -> None:
        """Evaluate the bars of a session from `since` on; keep the rows that are new."""
        bounds = {"session_date": session_date, "since": since}
        self._connection.execute(STATEMENTS["evaluate"], bounds).fetchall()
        kept = bounds | {"features": self._features, "evaluated_at": evaluated_at}
        self._connection.execute(STATEMENTS["keep_rows"], kept).fetchall()

    def entries(self) -> pa.Table:
        """Return the rows of marts.states_1m, as just evaluated, that are entries."""
        return self._connection.sql(
            "select * from evaluated where is_entry order by bar_at, symbol"
        ).to_arrow_table()

    def keep_inputs(
        self, session_date: date, snapshot: str, symbols: Sequence[str], evaluated_at: datetime
    ) -> None:
        """Keep what else the symbols' features are made from, where it is not what it was."""
        inputs = (session_date, snapshot, tuple(symbols))
        if inputs == self._inputs:
            return
        values = {
            "session_date": session_date,
            "symbols": list(symbols),
            "features": self._features,
            "definition_hash": self._definition_hash,
            "evaluated_at": evaluated_at,
        }
        self._connection.execute(STATEMENTS["keep_inputs"], values).fetchall()
        self._inputs = inputs
