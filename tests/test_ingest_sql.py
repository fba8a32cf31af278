"""`make sql`: one query on the newest snapshot, and what it says where there is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import duckdb
import pytest

from ingest.exports import NotPublishedError, newest_version
from ingest.settings import ROOT
from tests.warehouse_builder import publish_file

needs_sql_tool = pytest.mark.skipif(
    not (ROOT / ".venv-sql" / ".ready").exists(), reason="make test and make sql set up .venv-sql"
)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Data directory with a published table of one row."""
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("create table watchlist as select 'ABCD' as symbol, 82.5 as score")
    publish_file(path)
    return tmp_path


def make_sql(data_dir: Path, query: str) -> subprocess.CompletedProcess[str]:
    """Run `make sql` with a query; what it depends on counts as set up."""
    old = ("-o", ".venv/.ready", "-o", ".venv-sql/.ready")
    return subprocess.run(
        ["make", "--no-print-directory", *old, "sql", f"Q={query}"],
        cwd=ROOT,
        env=os.environ | {"DATA_DIR": str(data_dir), "HOME": str(data_dir)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_sql_tool
def test_make_sql_answers_a_query(data_dir: Path) -> None:
    done = make_sql(data_dir, "select symbol, score from watchlist where symbol != 'it''s'")
    assert done.returncode == 0
    assert [line.split() for line in done.stdout.splitlines()][2] == ["ABCD", "|", "82.5"]


@needs_sql_tool
def test_make_sql_cannot_write(data_dir: Path) -> None:
    done = make_sql(data_dir, "drop table watchlist")
    assert done.returncode
    assert "read-only" in done.stderr


@needs_sql_tool
def test_prompt_and_warehouse_use_one_duckdb() -> None:
    python = str(ROOT / ".venv-sql" / "bin" / "python")
    code = "import duckdb; print(duckdb.__version__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == duckdb.__version__


def test_missing_snapshot_is_one_line(tmp_path: Path) -> None:
    done = make_sql(tmp_path, "select 1")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    path = tmp_path / "published" / "warehouse.duckdb"
    assert done.returncode
    assert lines == [f"{path} is not there yet: run make demo or make features"]


def test_newest_version_outlives_a_publish(data_dir: Path) -> None:
    opened = newest_version(data_dir / "published" / "warehouse.duckdb")
    published = publish_file(data_dir / "warehouse.duckdb").path
    assert opened.exists()
    assert opened != published


def test_newest_version_needs_a_snapshot(tmp_path: Path) -> None:
    with pytest.raises(NotPublishedError, match="make features"):
        newest_version(tmp_path / "warehouse.duckdb")
