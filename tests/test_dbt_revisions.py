"""A revision that comes late changes what is known now, and not what was known then."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from ingest.warehouse import land
from tests.warehouse_builder import run_dbt
from tests.warehouse_compare import built, differing_tables

BEFORE = datetime(2024, 12, 28, 12)
"""After everything of the generated market had landed."""

REVISED = """
select
    * exclude (provider, landed_at)
    replace (close * 1.01 as close, high * 1.02 as high, volume + 500 as volume)
from raw.bars_1m
where session_date = date '2024-12-17'
order by symbol, bar_at
limit 10
"""


@pytest.fixture(scope="module")
def revised(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated warehouse, with the first ten bars of a session revised a day later."""
    data_dir = tmp_path_factory.mktemp("revised")
    shutil.copyfile(generated / "warehouse.duckdb", data_dir / "warehouse.duckdb")
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as connection:
        rows = connection.sql(REVISED).to_arrow_table()
        landing = land(
            connection, "bars_1m", rows, provider="fmp", landed_at=BEFORE + timedelta(days=1)
        )
    assert landing.revised == 10
    run_dbt(data_dir, "run")
    return data_dir


def test_a_late_revision_changes_features_now(generated: Path, revised: Path) -> None:
    changed = {line.split(":")[0] for line in differing_tables(generated, revised)}
    assert {"marts.features_1m", "marts.labels_1m"} <= changed


def test_features_as_known_then_are_the_same(
    generated: Path, revised: Path, tmp_path: Path
) -> None:
    shutil.copyfile(revised / "warehouse.duckdb", tmp_path / "warehouse.duckdb")
    run_dbt(tmp_path, "run", "--vars", f"{{as_known_at: '{BEFORE}'}}")
    changed = {line.split(":")[0] for line in differing_tables(generated, tmp_path)}
    assert changed <= {
        "intermediate.int_session_checks",  # counts revisions, whenever they came
        "marts.data_quality",
        "marts.feature_definitions",  # the hash of another definition
    }


def test_bars_as_known_then_are_those_before_the_revision(generated: Path, revised: Path) -> None:
    query = (
        "select symbol, bar_at, open, high, low, close, volume, landed_at "
        "from marts.bars_1m_as_known($moment) where session_date = '2024-12-17' order by all"
    )
    with built(generated) as before, built(revised) as after:
        want = before.execute(query, {"moment": BEFORE}).fetchall()
        assert after.execute(query, {"moment": BEFORE}).fetchall() == want
        now = after.execute(query, {"moment": BEFORE + timedelta(days=2)}).fetchall()
    assert len(now) == len(want) > 300
    assert sum(a != b for a, b in zip(now, want, strict=True)) == 10
