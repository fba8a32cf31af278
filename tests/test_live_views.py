"""The views of live.duckdb are made when they are not of the project as it stands."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from ingest.settings import Settings
from live import views
from live.serving import StartError
from live.views import ensure_views
from live.warehouse import open_live
from tests import live_fixture as fixture


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(views, "_run_dbt", lambda settings: runs.append(settings.dbt_vars))
    runs.clear()
    return fixture.build(tmp_path)


runs: list[str] = []


def test_current_views_are_left_alone(settings: Settings) -> None:
    assert [ensure_views(settings), ensure_views(settings)] == [True, False]
    assert len(runs) == 1


def test_changed_vars_remake_the_views(settings: Settings) -> None:
    ensure_views(settings)
    assert ensure_views(settings.model_copy(update={"dbt_vars": "{rvol_min: 3}"}))


def test_changed_model_remakes_the_views(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "project" / "models" / "features_1m.sql"
    model.parent.mkdir(parents=True)
    model.write_text("select 1")
    monkeypatch.setattr(views, "PROJECT", tmp_path / "project")
    ensure_views(settings)
    model.write_text("select 2")
    assert ensure_views(settings)


def test_failed_dbt_is_tried_again_at_the_next_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Settings) -> None:
        raise StartError("dbt failed")

    ensure_views(settings)
    changed = settings.model_copy(update={"dbt_vars": "{rvol_min: 3}"})
    with monkeypatch.context() as patched, pytest.raises(StartError):
        patched.setattr(views, "_run_dbt", fail)
        ensure_views(changed)
    assert ensure_views(settings)


def test_what_dbt_makes_is_no_part_of_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PROJECT", tmp_path)
    before = views.fingerprint("")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "compiled.sql").write_text("select 1")
    assert views.fingerprint("") == before


def test_lost_live_tables_are_remade(settings: Settings) -> None:
    with duckdb.connect(str(settings.live_path)) as connection:
        connection.execute("create table kept (bar_at timestamp)")
        connection.execute("create view kept_definition as select bar_at from raw.bars_1m")
        connection.execute(
            "insert into intermediate.live_tables values ('kept', 'kept_definition', 'bar_at', 1)"
        )
        connection.execute(
            "insert into raw.bars_1m by name "
            "select 'AAA' as symbol, date '2025-11-05' as session_date, "
            "timestamp '2025-11-05 15:00' as bar_at, 'fmp' as provider, "
            "timestamp '2025-11-05 15:01' as landed_at"
        )
    with open_live(settings.live_path, settings.published_path) as warehouse:
        warehouse.remake_live_tables()
        assert len(warehouse.read("from kept")) == 1
