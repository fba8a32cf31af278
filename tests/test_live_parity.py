"""The nightly report: a day served live, flushed, built; each planted difference has its cause."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ingest.settings import Settings
from ingest.warehouse import land
from live.broadcast import Broadcaster
from live.monitor import Monitor
from live.parity import read_parity
from live.recorded import read_day
from live.replay import stage
from live.scoring import Scorer
from live.warehouse import open_live
from tests.test_parity import (
    EVERY_SYMBOL_PASSES,
    ManualClock,
    Morning,
    RecordedFeed,
    make_morning,
    ticks,
)
from tests.warehouse_builder import run_dbt

pytestmark = pytest.mark.long

DAY = date(2024, 12, 20)
NOON = datetime(2024, 12, 20, 17, 0)
NEXT_DAY = datetime(2024, 12, 21, 12, 0)
KINDS = ("split", "daily", "baseline", "revised", "late", "definition", "untouched")
"""One symbol each; in the one with a revised bar, vwap is skewed as well."""


def serve_the_day(morning: Morning, withheld: str) -> None:
    """Play the session through the monitor, without one bar, until it is flushed."""
    is_withheld = pc.and_(
        pc.equal(morning.bars["symbol"], withheld),
        pc.equal(morning.bars["bar_at"], pa.scalar(NOON, pa.timestamp("us"))),
    )
    feed = RecordedFeed(morning.bars.filter(pc.invert(is_withheld)))
    settings, clock = morning.live, ManualClock(morning.session.pre_open_at)
    with open_live(settings.live_path, settings.published_path) as warehouse:
        monitor = Monitor(
            warehouse,
            feed,
            clock,
            Broadcaster(0),
            Scorer(settings.data_dir, *warehouse.feature_definitions()),
            warehouse_path=settings.warehouse_path,
            tick_seconds=5.0,
        )
        for moment in [*ticks(morning.session), morning.session.ends_at + timedelta(minutes=1)]:
            clock.at = moment
            monitor.tick()
        assert monitor.counts.flushes == 1


def plant(connection: duckdb.DuckDBPyConnection, symbols: dict[str, str], bars: pa.Table) -> None:
    """Change what the day was made from, for each symbol in a way of its own."""

    def change(table: str, query: str, symbol: str, landed_at: datetime = NEXT_DAY) -> None:
        rows = connection.sql(query, params={"symbol": symbol, "noon": NOON}).to_arrow_table()
        assert rows.num_rows == 1
        land(connection, table, rows, provider="fmp", landed_at=landed_at)

    late = bars.filter(pc.equal(bars["symbol"], symbols["late"]))
    late = late.filter(pc.equal(late["bar_at"], pa.scalar(NOON, pa.timestamp("us"))))
    land(connection, "bars_1m", late, provider="fmp", landed_at=NEXT_DAY)
    stored = (
        "select * exclude (provider, landed_at) replace ({}) from raw.{} where symbol = $symbol "
    )
    newest = "order by abs(epoch(bar_at - $noon)) limit 1"
    revised = stored.format("volume + 7000 as volume, high * 1.1 as high", "bars_1m") + newest
    change("bars_1m", revised, symbols["revised"])
    day_before = "order by abs(epoch(bar_at - ($noon - interval 1 day))) limit 1"
    baseline = stored.format("volume + 9000 as volume", "bars_1m") + day_before
    change("bars_1m", baseline, symbols["baseline"])
    last_daily = "and session_date < $noon::date order by session_date desc limit 1"
    daily = stored.format("high * 1.3 as high", "bars_1d") + last_daily
    change("bars_1d", daily, symbols["daily"])
    connection.execute(
        "insert into raw.splits values ($symbol, $day, 2, 1, 'fmp', $at)",
        {"symbol": symbols["split"], "day": DAY, "at": NEXT_DAY},
    )
    ((vwap,),) = connection.execute(
        "select distinct list_position(feature_names, 'vwap') from raw.served_inputs"
    ).fetchall()
    for kind in ("definition", "revised"):  # as a live view that says something else would serve
        connection.execute(
            "update raw.served_features set features = list_transform(features, "
            "lambda value, i: if(i = $vwap, value * 1.001, value)) where symbol = $symbol",
            {"symbol": symbols[kind], "vwap": vwap},
        )
    connection.execute(
        "update raw.served_inputs set definition_hash = 'another' where symbol = $symbol",
        {"symbol": symbols["definition"]},
    )


@pytest.fixture(scope="module")
def day_after(
    generated: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """Data directory of the night after, and which symbol each kind of change was planted in."""
    morning = make_morning(generated, tmp_path_factory.mktemp("parity") / "day", DAY)
    with duckdb.connect(str(morning.live.published_path), read_only=True) as connection:
        watched = connection.execute(
            "select symbol from marts.watchlist where session_date = $day "
            "and symbol in (select unnest($symbols)) "
            "order by symbol in (select symbol from raw.splits), symbol",
            {"day": DAY, "symbols": pc.unique(morning.bars["symbol"]).to_pylist()},
        ).fetchall()
    symbols = {kind: symbol for kind, (symbol,) in zip(KINDS, watched, strict=False)}
    assert len(symbols) == len(KINDS)
    serve_the_day(morning, symbols["late"])
    with duckdb.connect(str(morning.live.warehouse_path)) as connection:
        plant(connection, symbols, morning.bars)
    run_dbt(morning.live.data_dir, "run", "--vars", morning.live.dbt_vars)
    return morning.live.data_dir, symbols


@pytest.fixture(scope="module")
def cells(day_after: tuple[Path, dict[str, str]]) -> dict[str, list[dict]]:
    """The differing cells of each kind's symbol."""
    data_dir, symbols = day_after
    kinds = {symbol: kind for kind, symbol in symbols.items()}
    found = defaultdict(list)
    for cell in read_parity(data_dir / "published" / "warehouse.duckdb", DAY)[1]:
        found[kinds.get(cell["symbol"], "untouched")].append(cell)
    return found


def causes(cells: list[dict]) -> set[str]:
    return {cell["cause"] for cell in cells}


def test_untouched_symbols_have_no_difference(cells: dict[str, list[dict]]) -> None:
    assert cells["untouched"] == []


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("late", "late bar"),
        ("split", "split"),
        ("daily", "daily bar"),
        ("baseline", "baseline"),
        ("definition", "definition"),
    ],
)
def test_planted_difference_has_its_cause(
    cells: dict[str, list[dict]], kind: str, cause: str
) -> None:
    assert causes(cells[kind]) == {cause}


def test_late_bar_is_missing_in_what_was_served(cells: dict[str, list[dict]]) -> None:
    own = [cell for cell in cells["late"] if cell["bar_at"] == NOON]
    assert {(cell["kind"], cell["evaluated_at"]) for cell in own} == {("missing", None)}


def test_revised_bar_explains_the_rows_from_it_on(cells: dict[str, list[dict]]) -> None:
    own = [cell for cell in cells["revised"] if cell["feature"] != "vwap"]
    assert causes(own) == {"revised bar"}
    assert min(cell["bar_at"] for cell in own) >= NOON - timedelta(minutes=5)


def test_skew_is_unexplained_though_bars_were_revised(cells: dict[str, list[dict]]) -> None:
    skewed = [cell for cell in cells["revised"] if cell["feature"] == "vwap"]
    assert len(skewed) > 300
    assert causes(skewed) == {"unexplained"}


def test_report_counts_every_cell(day_after: tuple[Path, dict[str, str]]) -> None:
    report, cells = read_parity(day_after[0] / "published" / "warehouse.duckdb", None)
    counts = [
        sum(row[f"{kind}_count"] for row in report) for kind in ("mismatch", "missing", "extra")
    ]
    assert sum(counts) == len(cells)
    assert {row["rows_compared"] for row in report} == {report[0]["rows_compared"]}


def test_replay_as_landed_serves_what_was_served(day_after: tuple[Path, dict[str, str]]) -> None:
    data_dir, symbols = day_after
    settings = Settings(data_dir=data_dir, dbt_vars=EVERY_SYMBOL_PASSES, _env_file=None)  # type: ignore[call-arg]
    with stage(settings) as scratch:
        replayed = scratch.replay(read_day(scratch.snapshot, DAY, None))
    sent = "select symbol, bar_at, state from raw.signals where session_date = $day order by seq"
    with duckdb.connect(str(settings.published_path), read_only=True) as connection:
        then = connection.execute(sent, {"day": DAY}).fetchall()
    restated = {symbols[kind] for kind in ("split", "daily", "baseline")}
    assert [s for s in replayed.replayed if s[0] not in restated] == [
        s for s in then if s[0] not in restated
    ]
    assert {cell["cause"] for cell in replayed.cells} == {"revised bar", "late bar"}
