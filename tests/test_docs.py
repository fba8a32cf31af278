"""What is written about the project is true: columns, settings, commands, paths."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from ingest.settings import ROOT, Settings
from tests.warehouse_builder import run_dbt

README = (ROOT / "README.md").read_text()
TARGETS = dict(
    re.findall(r"^([a-z]+):[^\n#]*(?:## (.+))?$", (ROOT / "Makefile").read_text(), re.MULTILINE)
)


SCHEMAS = ("raw", "staging", "intermediate", "marts")
BOOKS = ("build_scope", "built_models", "built_partitions")
"""Where the materialization per_session keeps its books (macros/materializations)."""
Table = tuple[str, str]
"""Schema and name."""


@pytest.fixture(scope="module")
def nodes(generated: Path) -> dict[Table, dict]:
    """What dbt knows of every source, seed and model."""
    manifest = json.loads((generated / "target" / "manifest.json").read_text())
    every = (manifest["nodes"] | manifest["sources"]).values()
    return {(node["schema"], node["name"]): node for node in every if node["schema"] in SCHEMAS}


@pytest.fixture(scope="module")
def built_columns(generated: Path) -> set[tuple[Table, str]]:
    """Table and column of everything in the published snapshot."""
    with duckdb.connect(generated / "published" / "warehouse.duckdb", read_only=True) as connection:
        rows = connection.execute(
            "select schema_name, table_name, column_name from duckdb_columns()"
            " where schema_name in (select unnest($schemas))"
            " and table_name not in (select unnest($books))",
            {"schemas": SCHEMAS, "books": BOOKS},
        ).fetchall()
    return {((schema, table), column) for schema, table, column in rows}


def described(nodes: dict[Table, dict], table: Table) -> set[str]:
    """Columns described in the table's yml, or in that of the marts whose columns it passes on."""
    node = nodes[table]
    own = {column["name"] for column in node["columns"].values() if column["description"].strip()}
    others = node["config"].get("meta", {}).get("columns_of", [])
    return own.union(*(described(nodes, ("marts", other)) for other in others))


def test_every_table_is_described(
    nodes: dict[Table, dict], built_columns: set[tuple[Table, str]]
) -> None:
    known = {table for table, node in nodes.items() if node["description"].strip()}
    assert not {table for table, _ in built_columns} - known


def test_every_column_is_described(
    nodes: dict[Table, dict], built_columns: set[tuple[Table, str]]
) -> None:
    known = {(table, column) for table in nodes for column in described(nodes, table)}
    assert len(built_columns) > 500
    assert not sorted(built_columns - known)


def test_every_described_column_exists(
    nodes: dict[Table, dict], built_columns: set[tuple[Table, str]]
) -> None:
    written = {
        (table, column)
        for table, node in nodes.items()
        # parts of another model's query, and functions
        if node["config"].get("materialized") not in ("ephemeral", "table_function")
        for column in node["columns"]
    }
    assert not sorted(written - built_columns)


def test_dbt_docs_are_generated(generated: Path, tmp_path: Path) -> None:
    shutil.copyfile(generated / "warehouse.duckdb", tmp_path / "warehouse.duckdb")
    run_dbt(tmp_path, "docs", "generate", "--static")
    catalog = json.loads((tmp_path / "target" / "catalog.json").read_text())
    assert len(catalog["nodes"]) > 50
    assert not catalog["errors"]
    assert "## Glossary" in (tmp_path / "target" / "static_index.html").read_text()


def test_glossary_has_every_name_of_the_project() -> None:
    glossary = (ROOT / "dbt_project" / "docs" / "glossary.md").read_text()
    terms = """symbol, session_date, session_segment, bar, bar_at, available_at, landed_at, as_of,
        universe, funnel, watchlist, candidate, entry, signal, provisional, feature, label, score,
        entry_price, mfe, mae, cooldown, warm-up, baseline session, usual volume, parity, skew,
        snapshot, publish, look-ahead, point in time"""
    assert not [term for term in re.split(r",\s+", terms) if f"**{term}**" not in glossary]


def test_every_docs_block_is_used() -> None:
    project = ROOT / "dbt_project"
    blocks = re.findall(r"{% docs (\w+) %}", (project / "docs" / "columns.md").read_text())
    used = "".join(path.read_text() for path in project.glob("models/**/*.yml"))
    assert not [block for block in blocks if f"doc('{block}')" not in used]


def test_every_setting_is_in_env_example() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {line.split("=")[0] for line in lines if "=" in line and not line.startswith("#")}
    assert named == {name.upper() for name in Settings.model_fields}


def test_env_example_holds_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    example = Settings(_env_file=ROOT / ".env.example").model_dump()
    assert example == Settings(_env_file=None).model_dump()


def test_readme_names_targets_that_exist() -> None:
    in_code = re.compile(r"(?:^|`)(?:[A-Z_]+=(?:'[^']*'|\S*) )?make ([a-z]+)", re.MULTILINE)
    named = set(in_code.findall(README))
    assert named
    assert not named - TARGETS.keys()


def test_every_target_says_what_it_does() -> None:
    assert TARGETS
    assert not [name for name, text in TARGETS.items() if not text]


def test_paths_where_to_change_what_exist() -> None:
    table = README.split("## Where to change what")[1].split("\n## ")[0]
    missing = []
    for row in table.splitlines():
        folder = ROOT
        for path in re.findall(r"`([\w./]+[./][\w./]*)`", row):
            found = next((p for p in (ROOT / path, folder / path) if p.exists()), None)
            folder = found.parent if found else folder
            if not found and path != ".env":
                missing.append(path)
    assert "dbt_project/dbt_project.yml" in table
    assert not missing


@pytest.mark.parametrize("command", sorted(set(re.findall(r"python -m (\w+ \w+)", README))))
def test_readme_names_commands_that_exist(command: str) -> None:
    options = re.findall(rf"python -m {command}((?: --[\w-]+ \w+)*)", README)
    done = subprocess.run(
        [sys.executable, "-m", *command.split(), "--help"],
        cwd=ROOT,
        env={"COLUMNS": "200", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert all(
        option in done.stdout for text in options for option in re.findall(r"--[\w-]+", text)
    )
