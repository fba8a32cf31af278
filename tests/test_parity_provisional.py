"""A session with provisional signals is, row for row, the session without them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from ingest.settings import Settings
from live.broadcast import Broadcaster
from live.feeds import Polled
from live.monitor import Monitor
from live.provisional import ProvisionalEvent
from live.recorded import change_rules
from live.scoring import Scorer
from live.sessions import Session
from live.signals import Signal
from live.warehouse import open_live
from tests.test_parity import EVERY_SYMBOL_PASSES, ManualClock, Morning, RecordedFeed, make_morning

DAY = date(2024, 12, 20)
MINUTE = timedelta(minutes=1)
LOOSE = {"move_min": 0.005, "rvol_min": 0.8, "base_range_max": 0.2, "cooldown_min": 5}
"""Rules that give a signal every few minutes."""
COMPARED = (
    "raw.bars_1m", "raw.bar_revisions", "raw.rejected_rows", "raw.served_features",
    "raw.served_inputs", "raw.signals", "intermediate.int_bars_1m_lagged",
    "intermediate.int_spread_marks", "marts.states_1m",
)  # fmt: skip


@dataclass
class FormingFeed:
    """Hands out bars once they are closed and, while they form, as they will be.

    Every third of the latter stands 5 % higher than it will close.
    """

    closed: RecordedFeed
    provider: str = "fmp"
    notes: Sequence[str] = ()

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        polled, bars = self.closed.poll(session, symbols, now), self.closed.bars  # noqa: F841
        polled.forming = duckdb.sql(
            "select * exclude (jump) replace (high * jump as high, close * jump as close) from ("
            "select *, if(minute(bar_at) % 3 = 0, 1.05, 1.0) as jump from bars "
            "where bar_at <= $now and $now < bar_at + interval 1 minute "
            "and symbol in (select unnest($symbols)))",
            params={"now": now, "symbols": list(symbols)},
        ).to_arrow_table()
        return polled

    def close(self) -> None:
        self.closed.close()


def moments(session: Session) -> Iterator[datetime]:
    """Twice a minute around the open."""
    yield session.open_at - timedelta(minutes=30)
    for minute in range(-3, 30):
        for second in (3, 40):
            yield session.open_at + timedelta(minutes=minute, seconds=second)


def play(
    morning: Morning, settings: Settings
) -> tuple[list[Signal], list[ProvisionalEvent], dict[str, pa.Table]]:
    """Play the session; return signals, what was told of forming bars, and what is stored."""
    clock, events, signals = ManualClock(datetime.min), [], []
    with open_live(settings.live_path, settings.published_path) as warehouse:
        warehouse._root.execute("set threads to 1")  # sums are in one order, equal to the last bit
        monitor = Monitor(
            warehouse,
            FormingFeed(RecordedFeed(morning.bars)),
            clock,
            Broadcaster(0, 10),
            Scorer(settings.data_dir, *warehouse.feature_definitions()),
            warehouse_path=settings.warehouse_path,
            tick_seconds=5.0,
        )
        for moment in moments(morning.session):
            clock.at = moment
            signals += monitor.tick()
            monitor.follow_forming()
            events += monitor._forming_rows.take_events()
        assert not monitor.problems
    with duckdb.connect(settings.live_path) as live:
        live.execute(f"attach '{settings.published_path}' as published (read_only)")
        stored = {name: live.sql(f"from {name} order by all").to_arrow_table() for name in COMPARED}
    return signals, events, stored


@pytest.mark.timeout(600)
def test_provisional_signals_change_no_row(generated: Path, tmp_path: Path) -> None:
    morning = make_morning(generated, tmp_path / "off", DAY)
    shutil.copytree(tmp_path / "off", tmp_path / "on", symlinks=True)
    switched_on = Settings(data_dir=tmp_path / "on", dbt_vars=EVERY_SYMBOL_PASSES)
    change_rules(morning.live.published_path, LOOSE)
    change_rules(switched_on.published_path, LOOSE | {"provisional_signals": True})
    signals, untold, expected = play(morning, morning.live)
    also_signals, told, found = play(morning, switched_on)
    assert (untold, also_signals) == ([], signals)
    assert [name for name in COMPARED if not found[name].equals(expected[name])] == []
    assert all(expected[name].num_rows for name in COMPARED if name not in COMPARED[1:3])
    check_outcomes(morning.session.open_at - 3 * MINUTE, signals, told)


def check_outcomes(since: datetime, signals: list[Signal], told: list[ProvisionalEvent]) -> None:
    """Bars that close as they stood are confirmed; what falls back is retracted."""
    keys = {
        event: {(e.symbol, e.bar_at) for e in told if e.event == event}
        for event in ("provisional", "confirmed", "retracted")
    }
    sent = {(s.entry.symbol, s.entry.bar_at) for s in signals if s.entry.bar_at >= since}
    assert keys["provisional"] == keys["confirmed"] | keys["retracted"]
    assert {key for key in sent if key[1].minute % 3} <= keys["confirmed"] <= sent
    assert any(bar_at.minute % 3 for _, bar_at in keys["confirmed"])
    assert {bar_at.minute % 3 for _, bar_at in keys["retracted"]} == {0}
