"""The exports: from the published snapshot, whole or not at all."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from ingest.clock import SimulatedClock
from ingest.exports import NotPublishedError, export_training_rows, export_watchlist, replacing

CLOCK = SimulatedClock(datetime(2025, 9, 2, 12, 30), speed=0, anchor=0)  # stands still


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "warehouse_v000001.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """
            create schema marts;
            create table marts.coming_session as select date '2025-09-02' as session_date;
            create table marts.watchlist as
            select * from (values
                (date '2025-09-02', 'B', 71.5, 2, 'nan'::double),
                (date '2025-09-02', 'A', 90.0, 1, 20.0),
                (date '2025-08-29', 'C', 99.0, 1, 25.0)
            ) as w (session_date, symbol, score, rank, volatility_points);
            create table marts.training_rows as select range as row_number from range(3);
            """
        )
    link = tmp_path / "warehouse.duckdb"
    link.symlink_to(path.name)
    return link


def test_watchlist_is_the_coming_sessions_by_rank(snapshot: Path, tmp_path: Path) -> None:
    target = tmp_path / "watchlist.json"
    assert export_watchlist(snapshot, target, CLOCK) == 2
    assert json.loads(target.read_text()) == {
        "session_date": "2025-09-02",
        "generated_at": "2025-09-02T12:30:00Z",
        "symbols": [
            {"symbol": "A", "score": 90.0, "rank": 1, "volatility_points": 20.0},
            {"symbol": "B", "score": 71.5, "rank": 2, "volatility_points": None},
        ],
    }


def test_training_rows_are_parquet(snapshot: Path, tmp_path: Path) -> None:
    target = tmp_path / "offline_features.parquet"
    assert export_training_rows(snapshot, target) == 3
    assert duckdb.sql(f"select count(*) from '{target}'").fetchall() == [(3,)]


def test_missing_snapshot_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotPublishedError, match="make features"):
        export_watchlist(tmp_path / "none.duckdb", tmp_path / "watchlist.json", CLOCK)


def test_missing_mart_says_what_to_run(snapshot: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(snapshot.resolve())) as connection:
        connection.execute("drop table marts.training_rows")
    with pytest.raises(NotPublishedError, match="dbt build"):
        export_training_rows(snapshot, tmp_path / "offline_features.parquet")


def test_empty_calendar_says_what_to_run(snapshot: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(snapshot.resolve())) as connection:
        connection.execute("delete from marts.coming_session")
    with pytest.raises(NotPublishedError, match="run `python -m ingest calendar`, then"):
        export_watchlist(snapshot, tmp_path / "watchlist.json", CLOCK)


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "watchlist.json"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as partial:
        partial.write_text("half")
        raise RuntimeError("disk full")
    assert (target.read_text(), sorted(p.name for p in tmp_path.iterdir())) == (
        "old",
        ["watchlist.json"],
    )
