"""The bench of the simulated week, on parts of two sessions of a few symbols."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest

from tests.bench.week import Built, compare, make_morning, play_both
from tests.bench.week_market import Spell

pytestmark = pytest.mark.long

SPELLS = (
    Spell("down", 3, 7, (0,)),
    Spell("stream down", 3, 7, (1,)),
    Spell("+75", 9, 11),
    Spell("-20", 11, 13),
)
STRETCHES = ((-2.0, 15.0),)


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Built, Built]:
    """Folder of a clean and a faulty run through two sessions, and what came of both."""
    folder = tmp_path_factory.mktemp("week")
    dates = make_morning(folder / "morning", 3, 2, date(2024, 12, 2))
    return folder, *play_both(folder, "massive,poll", dates, SPELLS, STRETCHES)


@pytest.mark.timeout(600)
def test_clean_run_equals_batch_and_loses_nothing(week: tuple[Path, Built, Built]) -> None:
    _, clean, _ = week
    assert (clean.causes, clean.lacking, clean.unsent, clean.ran.flushes) == ({}, 0, 0, 2)


def test_faulty_run_is_explained_and_sends_what_it_stores(week: tuple[Path, Built, Built]) -> None:
    _, _, faulty = week
    assert (faulty.causes["unexplained"], faulty.unsent, faulty.ran.flushes) == (0, 0, 2)
    assert faulty.ran.faults["requests"] > 0 < faulty.revisions


def test_signals_differ_only_where_data_did(week: tuple[Path, Built, Built]) -> None:
    verdicts = compare(week[0] / "clean", week[0] / "faulty")
    assert verdicts["unexplained"] == 0 < verdicts["equal"] < verdicts.total()


def test_signal_that_was_swallowed_is_unexplained(
    week: tuple[Path, Built, Built], tmp_path: Path
) -> None:
    shutil.copyfile(week[0] / "clean" / "warehouse.duckdb", tmp_path / "warehouse.duckdb")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("delete from raw.signals where seq = (select max(seq) from raw.signals)")
    assert compare(week[0] / "clean", tmp_path)["unexplained"] == 1
