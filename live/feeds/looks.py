"""FMP's batch quotes: each symbol's volume so far, and bid and ask, in one call each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ingest.providers.errors import NotInPlanError, ProviderError
from ingest.providers.fmp import Answer
from live.feeds import Polled
from live.feeds.calls import Calls

log = logging.getLogger(__name__)

TRADES, QUOTES = "batch_quote", "batch_aftermarket_quote"

_NOT_IN_PLAN = {
    TRADES: "batch-quote is not in the FMP plan: every symbol is read every minute instead",
    QUOTES: "aftermarket quotes are not in the FMP plan: spreads are estimated, "
    "and outside regular hours every symbol is read every minute",
}


class BatchQuotes(Protocol):
    """What is needed of ingest.providers.fmp.FmpClient."""

    def batch_quote(self, symbols: Sequence[str]) -> Answer:
        """Return each symbol's volume of the regular session so far."""

    def batch_aftermarket_quote(self, symbols: Sequence[str]) -> Answer:
        """Return each symbol's bid, ask and volume of the day so far."""


class Looks:
    """Asks for quotes of all symbols at once; what the plan lacks is asked once, and noted."""

    def __init__(self, client: BatchQuotes, calls: Calls) -> None:
        self.notes: list[str] = []
        self.not_in_plan: set[str] = set()
        self._asks = {TRADES: client.batch_quote, QUOTES: client.batch_aftermarket_quote}
        self._calls = calls

    def look(
        self, sources: Iterable[str], symbols: Sequence[str], now: datetime, polled: Polled
    ) -> dict[str, dict[str, float | None]]:
        """Ask `sources` (TRADES, QUOTES); return source to symbol to volume of those that answer.

        Bid and ask go to `polled`.
        """
        wanted: dict[str, Callable[[], Answer]] = {
            source: partial(self._asks[source], symbols)
            for source in sources
            if source not in self.not_in_plan
        }
        done = self._calls.run("looks", wanted, now, polled)
        for source, error in done.errors.items():
            self._note_failure(source, error)
        if QUOTES in done.answers:
            quotes = done.answers[QUOTES].table.drop_columns(["volume"])
            polled.quotes.append(quotes.filter(pc.is_valid(quotes["quoted_at"])))
        return {source: _volumes(answer.table) for source, answer in done.answers.items()}

    def _note_failure(self, source: str, error: ProviderError) -> None:
        if isinstance(error, NotInPlanError):
            self.not_in_plan.add(source)
            self.notes.append(_NOT_IN_PLAN[source])
            log.warning("%s", _NOT_IN_PLAN[source])
        else:
            self._calls.note_failure(source, error)


def _volumes(table: pa.Table) -> dict[str, float | None]:
    names, volumes = (table[column].to_pylist() for column in ("symbol", "volume"))
    return dict(zip(names, volumes, strict=True))
