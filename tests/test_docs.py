"""What is written about the project is true: columns, settings, commands, paths."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from ingest.settings import ROOT, Settings

README = (ROOT / "README.md").read_text()
TARGETS = dict(
    re.findall(r"^([a-z]+):[^\n#]*(?:## (.+))?$", (ROOT / "Makefile").read_text(), re.MULTILINE)
)


@pytest.fixture(scope="module")
def marts(generated: Path) -> dict[str, dict]:
    manifest = json.loads((generated / "target" / "manifest.json").read_text())
    nodes = [node for node in manifest["nodes"].values() if node["schema"] == "marts"]
    return {node["name"]: node for node in nodes if node["resource_type"] in ("model", "seed")}


@pytest.fixture(scope="module")
def built_columns(generated: Path) -> set[tuple[str, str]]:
    """Table and column of everything in the schema marts of the published snapshot."""
    with duckdb.connect(generated / "published" / "warehouse.duckdb", read_only=True) as connection:
        return set(
            connection.execute(
                "select table_name, column_name from duckdb_columns() where schema_name = 'marts'"
            ).fetchall()
        )


def described(marts: dict[str, dict], name: str) -> set[str]:
    """Columns described in the mart's yml, or in that of the marts whose columns it passes on."""
    node = marts[name]
    own = {column["name"] for column in node["columns"].values() if column["description"]}
    others = node["config"]["meta"].get("columns_of", [])
    return own.union(*(described(marts, other) for other in others))


def test_every_mart_column_is_described(
    marts: dict[str, dict], built_columns: set[tuple[str, str]]
) -> None:
    known = {(name, column) for name in marts for column in described(marts, name)}
    assert len(built_columns) > 100
    assert not sorted(built_columns - known)


def test_every_described_column_exists(
    marts: dict[str, dict], built_columns: set[tuple[str, str]]
) -> None:
    written = {(name, column) for name, node in marts.items() for column in node["columns"]}
    assert not sorted(written - built_columns)


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
