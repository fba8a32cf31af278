"""FMP's minute bars of the symbols that seem to have traded, within a number of calls a minute.

A read brings the symbol's whole day, so it brings revisions of earlier bars too; a symbol gone
quiet is read again 3 and 8 minutes after its newest bar, as fresh bars are revised that long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from ingest.providers.errors import NotInPlanError
from ingest.providers.fmp import Answer
from live.feeds import Polled
from live.feeds.calls import Calls
from live.feeds.watch import MINUTE, Watch
from live.sessions import Session

SPARE_READS = 40
"""Reads per minute beyond one for each symbol. 50 symbols make at most 100 calls a minute."""
READS = "reads"
_MINUTE_BARS_MISSING = "no signals without one-minute bars, which need FMP's Premium plan"


class MinuteBars(Protocol):
    """What is needed of ingest.providers.fmp.FmpClient."""

    def minute_bars(
        self, symbol: str, session_date: date, extended: bool = True, *, recheck_first: bool = True
    ) -> Answer:
        """Return the bars of one session."""


class Reads:
    """Reads the symbols whose watch says that it is time."""

    def __init__(self, client: MinuteBars, calls: Calls) -> None:
        self.watches: dict[str, Watch] = {}
        self._client = client
        self._calls = calls
        self._session: Session | None = None

    def follow(self, session: Session, symbols: Sequence[str]) -> None:
        """Watch `symbols`; a session that has begun starts from nothing."""
        if session != self._session:
            self._session = session
            self.watches = {}
            self._calls.start_over()
        for symbol in symbols:
            self.watches.setdefault(symbol, Watch())

    def see_volumes(
        self, source: str, volumes: Mapping[str, float | None], minute_end: datetime
    ) -> None:
        """Note what `source` tells of symbols' volumes so far."""
        for symbol, volume in volumes.items():
            if symbol in self.watches:
                self.watches[symbol].see_volume(source, volume, minute_end)

    def see_nothing_where_unknown(
        self, symbols: Sequence[str], sources: Iterable[str], minute_end: datetime
    ) -> None:
        """Where none of `sources` tells a symbol's volume, have it read once a minute."""
        telling = list(sources)
        for symbol in symbols:
            watch = self.watches[symbol]
            if all(watch.volumes.get(source) is None for source in telling):
                watch.see_nothing(minute_end)

    def read(
        self, symbols: Sequence[str], now: datetime, minute_end: datetime, polled: Polled
    ) -> None:
        """Read the symbols that are due, the most urgent and longest unread first."""
        assert self._session is not None
        due = sorted(
            (urgency, self.watches[symbol].read_at or datetime.min, symbol)
            for symbol in symbols
            if not self._calls.is_running(READS, symbol)
            and (urgency := self.watches[symbol].urgency(minute_end)) is not None
        )
        allowed = len(symbols) + SPARE_READS - self._calls.made_in_last_minute(now)
        wanted: dict[str, Callable[[], Answer]] = {}
        for urgency, _, symbol in due[: 0 if self._calls.is_paused(now) else max(0, allowed)]:
            self.watches[symbol].start_read(minute_end)
            wanted[symbol] = partial(
                self._client.minute_bars,
                symbol,
                self._session.session_date,
                recheck_first=urgency != 1,
            )
        done = self._calls.run(READS, wanted, now, polled)
        for symbol, error in done.errors.items():
            why = f"{_MINUTE_BARS_MISSING}: " if isinstance(error, NotInPlanError) else ""
            self._calls.note_failure(symbol, error, why)
            if symbol in self.watches:
                self.watches[symbol].rereads.insert(0, now + MINUTE)
        for symbol, answer in done.answers.items():
            self._collect(symbol, answer, polled)

    def _collect(self, symbol: str, answer: Answer, polled: Polled) -> None:
        asked_at = answer.request.requested_at
        bars = closed_bars(answer)
        polled.bars.append(bars)
        if symbol in self.watches:
            self.watches[symbol].finish_read(pc.max(bars["bar_at"]).as_py(), asked_at)


def closed_bars(answer: Answer) -> pa.Table:
    """Return the bars of an answer that had ended when it was asked for.

    Rows without a stamp are kept, to be rejected on landing.
    """
    last = pa.scalar(answer.request.requested_at - MINUTE, pa.timestamp("us"))
    is_closed = pc.fill_null(pc.less_equal(answer.table["bar_at"], last), True)
    return answer.table.filter(is_closed)
