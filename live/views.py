"""The views of live.duckdb: made by dbt from the project's models, once for each change of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from ingest.settings import ROOT, Settings
from ingest.warehouse import open_warehouse
from live.database import snapshot_version
from live.serving import StartError

PROJECT = ROOT / "dbt_project"
SOURCES = (".sql", ".yml", ".csv")
MADE = frozenset({"target", "logs"})
"""Folders of the project that dbt writes."""


def ensure_views(settings: Settings) -> bool:
    """Create live.duckdb's raw tables and views where they are not of the project as it stands.

    dbt takes seconds to start, so that a service that comes back after a crash does without it.
    Returns whether it ran. Raises StartError with what dbt said where it failed.
    """
    snapshot_version(settings.published_path)
    wanted = fingerprint(settings.dbt_vars)
    with open_warehouse(settings.live_path, wait_seconds=5.0) as connection:
        connection.execute("create schema if not exists intermediate")
        connection.execute(
            "create table if not exists intermediate.built_views (fingerprint varchar)"
        )
        if connection.execute("from intermediate.built_views").fetchall() == [(wanted,)]:
            return False
        connection.execute("delete from intermediate.built_views")
    _run_dbt(settings)
    with open_warehouse(settings.live_path, wait_seconds=5.0) as connection:
        connection.execute("insert into intermediate.built_views values (?)", [wanted])
    return True


def fingerprint(dbt_vars: str) -> str:
    """Return a hash of all that the views are made from: the project's files, vars, dbt."""
    digest = hashlib.sha256()
    for part in (version("dbt-core"), version("dbt-duckdb"), version("duckdb"), dbt_vars):
        digest.update(f"{part}\0".encode())
    for path in _sources():
        digest.update(f"{path.relative_to(PROJECT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for path in sorted(PROJECT.rglob("*")):
        if path.suffix in SOURCES and not MADE & set(path.relative_to(PROJECT).parts):
            yield path


def _run_dbt(settings: Settings) -> None:
    scratch = settings.data_dir / "dbt_live"
    command = [
        sys.executable, "-m", "dbt.cli.main", "run", "--target", "live", "--select", "tag:live",
        "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT),
        "--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs"),
        "--vars", settings.dbt_vars or "{}", "--no-use-colors", "--quiet",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "DATA_DIR": str(settings.data_dir),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-30:])
        raise StartError(f"the views of {settings.live_path} could not be made by dbt:\n{said}")
