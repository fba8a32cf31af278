"""Publishing by dbt: whoever runs it and from where; what stops it is said in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from ingest.publish import Plugin
from ingest.settings import ROOT


def dbt_run(folder: Path, scratch: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "DBT_PROJECT_DIR"}
    return subprocess.run(
        [
            sys.executable, "-m", "dbt.cli.main", "--quiet", "run", "--select", "signal_rules",
            "--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs"), *options,
        ],
        cwd=folder,
        env=environment | {"DATA_DIR": str(scratch), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip


def test_dbt_publishes_from_the_root_and_from_its_folder(tmp_path: Path) -> None:
    for folder, options in (
        (ROOT, ["--project-dir", "dbt_project"]),
        (ROOT / "dbt_project", []),
    ):
        done = dbt_run(folder, tmp_path, *options)
        assert done.returncode == 0, done.stdout
    assert (tmp_path / "published/warehouse.duckdb").readlink() == Path("warehouse_v000002.duckdb")


def connect(path: str) -> None:
    credentials = SimpleNamespace(path=path, attach=None)
    Plugin.update_connection_config(None, credentials, {})  # type: ignore[arg-type]


def test_broken_warehouse_stops_dbt_at_once(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_text("not a database")
    with pytest.raises(DbtRuntimeError, match="can't be opened"):
        connect(str(tmp_path / "warehouse.duckdb"))


def test_paths_of_the_profile_count_from_data_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    connect("warehouse.duckdb")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("select 1").fetchall() == [(1,)]
