"""Recorded sessions through the real loop: what it serves is what batch says, to the last cell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from ingest.settings import ROOT, Settings
from live.database import snapshot_version
from live.recorded import ReplayError, newest_replayable, read_day
from live.replay import Replayed, Stage, parse_changes, stage
from tests.test_parity import EVERY_SYMBOL_PASSES
from tests.warehouse_builder import run_dbt

pytestmark = pytest.mark.long

DAY = date(2024, 12, 20)


def settings_of(built: Path, data_dir: Path, dbt_vars: str = EVERY_SYMBOL_PASSES) -> Settings:
    """Build a copy of a warehouse with other vars; return settings that use it."""
    shutil.copyfile(built / "warehouse.duckdb", data_dir / "warehouse.duckdb")
    run_dbt(data_dir, "run", "--vars", dbt_vars)
    return Settings(data_dir=data_dir, dbt_vars=dbt_vars, _env_file=None)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def market(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The generated market with every symbol on the watchlist."""
    return settings_of(generated, tmp_path_factory.mktemp("replayed"))


@pytest.fixture(scope="module")
def scratch(market: Settings) -> Iterator[Stage]:
    with stage(market) as made:
        yield made


def replay(scratch: Stage, session_date: date, every_minutes: int, **options: object) -> Replayed:
    day = read_day(scratch.snapshot, session_date, every_minutes)
    return scratch.replay(day, **options)  # type: ignore[arg-type]


def differing_cells(replayed: Replayed) -> int:
    """The cells that differ, of a replay that compared every feature of hundreds of rows."""
    assert len(replayed.report) >= 16
    assert {row["rows_compared"] for row in replayed.report} == {replayed.bar_count}
    assert replayed.bar_count > 300
    return len(replayed.cells)


@pytest.mark.parametrize(
    ("session_date", "every_minutes"), [(DAY, 10), (date(2024, 12, 24), 5)], ids=["full", "half"]
)
def test_simulated_session_equals_batch(
    scratch: Stage, session_date: date, every_minutes: int
) -> None:
    replayed = replay(scratch, session_date, every_minutes)
    assert differing_cells(replayed) == 0
    assert replayed.replayed == replayed.offline == replayed.by_rules != []


def test_day_without_a_watchlist_replays_all_with_bars(scratch: Stage, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot.duckdb"
    shutil.copyfile(scratch.snapshot, snapshot)
    snapshot.chmod(0o644)
    with duckdb.connect(str(snapshot)) as connection:
        connection.execute("delete from marts.watchlist where session_date = $day", {"day": DAY})
        traded = connection.execute(
            "select distinct symbol from raw.bars_1m where session_date = $day order by symbol",
            {"day": DAY},
        ).fetchall()
    replayed = replay(Stage(scratch.settings, snapshot, scratch.folder), DAY, 60)
    assert replayed.day.symbols == [symbol for (symbol,) in traded]
    assert differing_cells(replayed) == 0


def test_skewed_live_view_is_unexplained(scratch: Stage, tmp_path: Path) -> None:
    shutil.copyfile(scratch.folder / "live.duckdb", tmp_path / "live.duckdb")
    with duckdb.connect(str(tmp_path / "live.duckdb")) as connection:
        connection.execute(f"attach '{scratch.snapshot}' as published (read_only)")
        ((text,),) = connection.execute(
            "select sql from duckdb_views() where database_name = 'live' "
            "and schema_name = 'marts' and view_name = 'features_1m'"
        ).fetchall()
        connection.execute(text.replace("marts.features_1m", "marts.unskewed", 1))
        connection.execute(
            "create or replace view marts.features_1m as "
            "select * replace (move_prev * 1.001 as move_prev) from marts.unskewed"
        )
    skewed = Stage(scratch.settings, scratch.snapshot, tmp_path)
    replayed = replay(skewed, DAY, 60)
    unexplained = {row["feature"]: row["unexplained_count"] for row in replayed.report}
    assert unexplained.pop("move_prev") > 300
    assert set(unexplained.values()) == {0}


def test_changed_rules_give_what_they_give_offline(
    scratch: Stage, market: Settings, tmp_path: Path
) -> None:
    changes = {"rvol_min": 6.0, "cooldown_min": 90.0}
    replayed = replay(scratch, DAY, 30, changed_rules=changes)
    shutil.copyfile(market.warehouse_path, tmp_path / "warehouse.duckdb")
    changed = EVERY_SYMBOL_PASSES.replace("rvol_min: 1.2", "rvol_min: 6, cooldown_min: 90")
    run_dbt(tmp_path, "run", "--select", "signal_rules", "--vars", changed)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        offline = connection.execute(
            "select symbol, bar_at, state from marts.entries_1m where session_date = $day "
            "and symbol in (select unnest($symbols)) order by bar_at, symbol",
            {"day": DAY, "symbols": replayed.day.symbols},
        ).fetchall()
    assert replayed.by_changed_rules == offline
    assert len(offline) < len(replayed.by_rules)


def test_unknown_rule_is_refused_with_the_rules() -> None:
    with pytest.raises(ReplayError, match="cooldown_min, gap_min, move_min"):
        parse_changes(["rvolmin=3"])


def test_rule_without_a_number_is_refused() -> None:
    with pytest.raises(ReplayError, match="rvol_min=3"):
        parse_changes(["rvol_min=high"])


@pytest.mark.parametrize(
    ("session_date", "every_minutes", "says"),
    [
        (date(2024, 12, 21), 1, "no session"),
        (date(2024, 2, 1), 1, "newest of [0-9]+ with bars"),
        (DAY, None, "without --as-landed"),
    ],
)
def test_day_that_cannot_be_replayed_says_what_to_do(
    market: Settings, session_date: date, every_minutes: int | None, says: str
) -> None:
    with pytest.raises(ReplayError, match=says):
        read_day(snapshot_version(market.published_path), session_date, every_minutes)


def test_newest_recorded_session_is_found(market: Settings) -> None:
    assert newest_replayable(snapshot_version(market.published_path)) == date(2024, 12, 27)


def test_command_prints_the_report_and_the_signals(market: Settings) -> None:
    environment = {"DATA_DIR": str(market.data_dir), "DBT_VARS": EVERY_SYMBOL_PASSES}
    done = subprocess.run(
        [sys.executable, "-m", "live", "replay", str(DAY), "--every", "30", "--diff", "rvol_min=9"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    for said in ("0 values differ, 0 of them unexplained", "the same.", "With rvol_min = 9:"):
        assert said in done.stdout
