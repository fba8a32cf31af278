"""Rows prepared before their bars come: as the views say, and used only where they hold good."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest.settings import Settings
from live.feeds import Polled
from live.served import ServedRows, planned_read
from live.views import ensure_views
from live.warehouse import LiveWarehouse, open_live
from tests.live_fixture import DAY, MINUTE, OPEN, bar

SYMBOLS = ["AAA", "BRK-B"]
AROUND_THE_OPEN = (-70, 25)
"""Minutes of RTH; the last of PRE are among them, and bars are missing here and there."""


class Asked(list[bool]):
    """Whether prepared rows were asked for, evaluation by evaluation."""

    rows: pa.Table
    """The newest answer."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    evaluate = ServedRows.evaluate

    def note(self: ServedRows, *values: Any, are_prepared: bool) -> pa.Table:
        asked.append(are_prepared)
        asked.rows = evaluate(self, *values, are_prepared=are_prepared)
        return asked.rows

    monkeypatch.setattr(ServedRows, "evaluate", note)
    return asked


class Loop:
    """Lands, evaluates and prepares as the monitor does."""

    def __init__(self, warehouse: LiveWarehouse, symbols: list[str], day: Any = DAY) -> None:
        self.warehouse = warehouse
        self.symbols = symbols
        self.day = day
        self.landed_at = datetime(2026, 1, 1)
        warehouse.remake_live_tables()

    def bring(
        self,
        *bars: dict[str, Any],
        quotes: Sequence[dict[str, Any]] = (),
        provider: str = "fmp",
        ahead: int = 1,
    ) -> pa.Table:
        """Have a tick bring bars; return the entries. Then prepare so many minutes ahead."""
        since, newest = self.land(*bars, quotes=quotes, provider=provider)
        assert since is not None
        assert newest is not None
        entries = self.warehouse.serve(
            self.day, self.symbols, since, newest, self.landed_at, provider
        )
        self.prepare(newest + ahead * MINUTE, provider)
        return entries

    def land(
        self,
        *bars: dict[str, Any],
        quotes: Sequence[dict[str, Any]] = (),
        provider: str = "fmp",
    ) -> tuple[datetime | None, datetime | None]:
        """Land bars; return the earliest that changed, and the newest."""
        self.landed_at += timedelta(seconds=1)
        brought = Polled(
            bars=[pa.Table.from_pylist(list(bars))], quotes=[pa.Table.from_pylist(list(quotes))]
        )
        self.warehouse.land_poll(brought, provider, self.landed_at)
        return self.warehouse.changes(self.day, self.landed_at)

    def prepare(self, minute: datetime, provider: str = "fmp") -> None:
        self.warehouse.prepare(self.day, self.symbols, minute, provider)

    def is_plan_kept(self, minute: datetime) -> bool:
        """Return whether a minute's bars are read by the plan made before (it has CTEs)."""
        bars = pa.Table.from_pylist([bar("AAA", minute, 5.0)])
        with self.warehouse.trial(bars, "fmp", self.landed_at) as connection:
            ((_, plan),) = connection.execute(f"explain {planned_read(minute)}").fetchall()
        return "CTE" in plan


@pytest.fixture
def loop(settings: Settings) -> Iterator[Loop]:
    with open_live(settings.live_path, settings.published_path) as warehouse:
        yield Loop(warehouse, SYMBOLS)


def at(minute: int) -> datetime:
    return OPEN + minute * MINUTE


def test_newest_minute_is_evaluated_from_prepared_rows(loop: Loop, asked: Asked) -> None:
    loop.bring(bar("AAA", at(0), 5.0))
    entries = loop.bring(bar("AAA", at(1), 5.2))
    assert asked == [False, True]
    assert entries["symbol"].to_pylist() == ["AAA"]


def test_bar_that_comes_a_tick_after_the_others_is_too(loop: Loop, asked: Asked) -> None:
    loop.bring(bar("AAA", at(0), 5.0), bar("BRK-B", at(0), 5.0))
    loop.bring(bar("AAA", at(1), 5.0))
    entries = loop.bring(bar("BRK-B", at(1), 5.2))
    assert asked == [False, True, True]
    assert entries["symbol"].to_pylist() == ["BRK-B"]


def test_bar_after_a_minute_without_any_is_too(loop: Loop, asked: Asked) -> None:
    loop.bring(bar("AAA", at(0), 5.0))
    loop.prepare(at(2))
    assert loop.bring(bar("AAA", at(2), 5.2)).num_rows == 1
    assert asked == [False, True]


def test_newest_bar_revised_is_evaluated_from_prepared_rows(loop: Loop, asked: Asked) -> None:
    loop.bring(bar("AAA", at(0), 5.0))
    loop.bring(bar("AAA", at(1), 5.0))
    assert loop.bring(bar("AAA", at(1), 5.2)).num_rows == 1
    assert asked == [False, True, True]


@pytest.mark.parametrize(
    "bars",
    [
        [bar("AAA", at(2), 5.0), bar("AAA", at(3), 5.2)],
        [bar("AAA", at(3), 5.2)],
        [bar("AAA", at(2), 5.2), bar("BRK-B", at(0), 5.0)],
        [bar("AAA", at(2), 5.2), bar("CCC", at(2), 5.0)],
    ],
    ids=["two minutes at once", "another minute", "a late bar", "a symbol that is not watched"],
)
def test_views_are_asked_where_prepared_rows_do_not_hold(
    loop: Loop, asked: Asked, bars: list[dict[str, Any]]
) -> None:
    loop.bring(bar("AAA", at(0), 5.0))
    loop.bring(bar("AAA", at(1), 5.0))
    assert loop.bring(*bars)["symbol"].to_pylist() == ["AAA"]
    assert asked == [False, True, False]


def test_bars_of_another_provider_are_not_put_beside_prepared_rows(
    loop: Loop, asked: Asked
) -> None:
    loop.bring(bar("AAA", at(0), 5.0))
    loop.bring(bar("AAA", at(1), 5.0))
    loop.bring(bar("AAA", at(1), 5.2), provider="massive")
    loop.bring(bar("AAA", at(1), 5.2))
    assert asked == [False, True, False, False]


def test_changes_are_those_of_the_landing(loop: Loop) -> None:
    assert loop.land(bar("AAA", at(0), 5.0)) == (at(0), at(0))
    loop.bring(bar("AAA", at(1), 5.0))
    assert loop.land(bar("AAA", at(2), 5.0), bar("BRK-B", at(2), 5.0)) == (at(2), at(2))
    assert loop.land(bar("AAA", at(2), 5.0)) == (None, at(2))
    assert loop.land(bar("AAA", at(1), 5.1)) == (at(1), at(2))


def test_newer_bars_that_were_not_evaluated_are_not_forgotten(loop: Loop) -> None:
    loop.bring(bar("AAA", at(0), 5.0))
    loop.land(bar("AAA", at(3), 5.0))
    assert loop.land(bar("BRK-B", at(2), 5.0)) == (at(2), at(3))


def test_late_bar_makes_prepared_rows_anew(loop: Loop, asked: Asked) -> None:
    loop.bring(bar("AAA", at(0), 5.0))
    loop.bring(bar("AAA", at(2), 5.0))
    loop.bring(bar("AAA", at(1), 5.0), ahead=2)
    loop.bring(bar("AAA", at(2), 5.1))
    assert loop.bring(bar("AAA", at(3), 5.2)).num_rows == 0
    assert loop.bring(bar("AAA", at(4), 5.4)).num_rows == 1


def test_stand_ins_are_gone_and_old_rows_are_dropped(loop: Loop) -> None:
    for minute in range(5):
        loop.bring(bar("AAA", at(minute), 5.0))
    count = "select count(*) as bars, count(close) as real from raw.bars_1m"
    assert loop.warehouse.read(count) == [{"bars": 5, "real": 5}]
    kept = "select distinct bar_at from intermediate.int_bars_prepared order by bar_at"
    assert [row["bar_at"] for row in loop.warehouse.read(kept)] == [at(4), at(5)]


@pytest.mark.parametrize(("few", "is_kept"), [(len(SYMBOLS), True), (1, False)])
def test_plan_is_kept_where_it_reads_few_symbols(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, few: int, is_kept: bool
) -> None:
    monkeypatch.setattr("live.prepared.FEW_SYMBOLS", few)
    loop.bring(bar("AAA", at(0), 5.0))
    assert loop.is_plan_kept(at(1)) == is_kept


def test_failed_preparation_leaves_nothing(
    loop: Loop, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.bring(bar("AAA", at(0), 5.0), ahead=2)
    with monkeypatch.context() as patch:
        patch.setattr("live.live_tables.LiveTables.drop_bars_from", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loop.prepare(at(1))
    assert loop.warehouse.read("select count(*) as bars from raw.bars_1m") == [{"bars": 1}]
    loop.bring(bar("AAA", at(1), 5.2))
    assert asked == [False, False]


@pytest.mark.parametrize("few", [0, 100], ids=["planned when read", "planned before"])
def test_prepared_rows_are_those_of_the_views(
    generated: Path, tmp_path: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("live.prepared.FEW_SYMBOLS", few)
    shutil.copytree(generated / "published", tmp_path / "published", symlinks=True)
    settings = Settings(data_dir=tmp_path, _env_file=None)  # type: ignore[call-arg]
    ensure_views(settings)
    with open_live(settings.live_path, settings.published_path) as warehouse:
        ((day, open_at),) = (
            row.values()
            for row in warehouse.read(
                "select session_date, open_at from published.marts.market_sessions "
                "semi join published.intermediate.int_bars_1m_lagged using (session_date) "
                "order by session_date desc limit 1"
            )
        )
        first, last = (open_at + minute * MINUTE for minute in AROUND_THE_OPEN)
        bars = warehouse.read(
            "select symbol, session_date, bar_at, open, high, low, close, volume "
            "from published.intermediate.int_bars_1m_lagged "
            "where session_date = $day and bar_at between $first and $last",
            {"day": day, "first": first, "last": last},
        )
        symbols = sorted({row["symbol"] for row in bars})
        loop = Loop(warehouse, symbols, day)
        minutes = sorted({row["bar_at"] for row in bars})
        sources: set[str] = set()
        for minute in minutes:
            loop.prepare(minute)
            rows = [row for row in bars if row["bar_at"] == minute]
            loop.bring(*rows, quotes=quotes_of(rows))
            prepared = sorted(asked.rows.to_pylist(), key=itemgetter("symbol"))
            query = "from marts.states_1m where bar_at = $minute order by symbol"
            assert_same(prepared, warehouse.read(query, {"minute": minute}))
            sources |= {row["spread_source"] for row in prepared}
        assert loop.is_plan_kept(minutes[-1] + MINUTE) == (few > 0)
    assert sources == {"quoted", "estimated"}
    assert asked == [True] * len(minutes)
    assert {row["bar_at"] < open_at for row in bars} == {False, True}


def quotes_of(bars: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return quotes in the minutes of every other bar, at their very ends too."""
    return [
        {
            "symbol": row["symbol"],
            "quoted_at": row["bar_at"] + timedelta(seconds=seconds),
            "bid": row["close"] * 0.99,
            "ask": row["close"] * (1.01 + seconds / 10_000),
        }
        for row in bars[::2]
        for seconds in (0, 30, 60)
    ]


def assert_same(prepared: list[dict[str, Any]], asked: list[dict[str, Any]]) -> None:
    assert len(prepared) == len(asked) > 0
    for ours, theirs in zip(prepared, asked, strict=True):
        for name, value in theirs.items():
            is_same = ours[name] == value or (
                isinstance(value, float)
                and ours[name] is not None
                and math.isclose(ours[name], value, rel_tol=1e-9, abs_tol=1e-9)
            )
            assert is_same, f"{name} of {theirs['symbol']} at {theirs['bar_at']}"
