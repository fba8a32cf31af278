"""The self-test: the golden vectors are the oracle's, and a wrong view is caught."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ingest.settings import Settings
from live.selftest import failed_self_test
from live.views import ensure_views
from live.warehouse import open_live
from tests.golden import FOLDER, golden_rows, write


@pytest.fixture(scope="module")
def built(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    data_dir = tmp_path_factory.mktemp("selftest")
    shutil.copytree(generated / "published", data_dir / "published", symlinks=True)
    settings = Settings(data_dir=data_dir, _env_file=None)  # type: ignore[call-arg]
    ensure_views(settings)
    return settings


@pytest.fixture
def settings(built: Settings, tmp_path: Path) -> Iterator[Settings]:
    shutil.copy(built.live_path, tmp_path)
    (tmp_path / "published").symlink_to(built.data_dir / "published")
    yield Settings(data_dir=tmp_path, _env_file=None)  # type: ignore[call-arg]


def plant(settings: Settings, view: str, change: str) -> None:
    """Have a view give its rows with a change."""
    with duckdb.connect(settings.live_path) as connection:
        connection.execute(f"attach '{settings.published_path}' as published (read_only)")
        ((sql,),) = connection.execute(
            "select sql from duckdb_views() where database_name = current_database() "
            "and schema_name || '.' || view_name = $view",
            {"view": view},
        ).fetchall()
        connection.execute(sql.replace(f"VIEW {view}", f"VIEW {view}_before", 1))
        connection.execute(f"create or replace view {view} as {change}")


def found(settings: Settings) -> str | None:
    with open_live(settings.live_path, settings.published_path) as warehouse:
        return failed_self_test(warehouse)


def test_views_of_the_project_pass(settings: Settings) -> None:
    assert found(settings) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("select * replace (rvol_1m * 1.000001 as rvol_1m) from marts.features_1m_before",
         "rvol_1m of "),
        ("select * replace (coalesce(base_range, 0) as base_range) from marts.features_1m_before",
         "base_range of "),
        ("from marts.features_1m_before where session_segment != 'POST'", "has no row"),
        ("select * exclude (gap), 0::float as gap from marts.features_1m_before", "gap of "),
        ("select * rename (gap as opening_gap) from marts.features_1m_before", "gap"),
    ],
)  # fmt: skip
def test_wrong_view_is_caught_and_named(settings: Settings, change: str, told: str) -> None:
    plant(settings, "marts.features_1m", change)
    assert told in str(found(settings))


def test_view_wrong_in_bounded_reads_only_is_caught(settings: Settings) -> None:
    bounded = "case when getvariable('rows_from') is null then vwap else vwap + 0.01 end"
    change = f"select * replace ({bounded} as vwap) from marts.features_1m_before"
    plant(settings, "marts.features_1m", change)
    assert "vwap" in str(found(settings))


def test_wrong_plan_of_prepared_rows_is_caught(settings: Settings) -> None:
    view = "intermediate.int_states_prepared"
    plant(settings, view, f"select * replace (vwap + 0.01 as vwap) from {view}_before")
    assert f"{view} differs from live/golden: vwap" in str(found(settings))


def test_nothing_of_the_day_is_touched(settings: Settings) -> None:
    found(settings)
    with duckdb.connect(settings.live_path, read_only=True) as connection:
        assert connection.execute("select count(*) from raw.bars_1m").fetchall() == [(0,)]


def test_golden_vectors_are_the_oracles(tmp_path: Path) -> None:
    write(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in FOLDER.iterdir()
    }


def test_golden_vectors_have_every_state_and_segment() -> None:
    rows = golden_rows()["marts.states_1m"]
    assert {row["state"] for row in rows} == {"Idle", "Pumped", "Base", "FirstPump", "RePump"}
    assert {row["session_segment"] for row in rows} == {"PRE", "RTH", "POST"}
