"""A demo's data folder: emptied of what a demo made, refused where it is in use or a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.serving import StartError, only_service
from live.takeover import taken_over


def test_what_a_demo_made_goes_and_users_files_stay(tmp_path: Path) -> None:
    for name in (".demo", "warehouse.duckdb", "watchlist.json", "budget_fmp.sqlite", "my.parquet"):
        (tmp_path / name).touch()
    with taken_over(tmp_path, has_files=True):
        left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".demo", "live.lock", "my.parquet"]


def test_warehouse_of_a_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_text("mine")
    with pytest.raises(StartError, match="of your own"), taken_over(tmp_path, has_files=False):
        pass
    assert (tmp_path / "warehouse.duckdb").read_text() == "mine"


def test_symbol_lists_are_refused_by_a_generated_market_only(tmp_path: Path) -> None:
    (tmp_path / "NASDAQ.txt").touch()
    with pytest.raises(StartError, match=r"NASDAQ\.txt"), taken_over(tmp_path, has_files=False):
        pass
    with taken_over(tmp_path, has_files=True):
        assert (tmp_path / "NASDAQ.txt").exists()


def test_second_demo_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        taken_over(tmp_path, has_files=False),
        pytest.raises(StartError, match="another demo"),
        taken_over(tmp_path, has_files=False),
    ):
        pass


def test_folder_of_a_running_service_is_refused(tmp_path: Path) -> None:
    with (
        only_service(tmp_path),
        pytest.raises(StartError, match="live service"),
        taken_over(tmp_path, has_files=False),
    ):
        pass


def test_path_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StartError, match="can't be written"),
        taken_over(tmp_path / "file", has_files=False),
    ):
        pass
