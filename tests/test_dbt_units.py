"""Every feature is held by a dbt unit test; `dbt build` of the fixture has run them."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest


@pytest.fixture(scope="module")
def unit_tests(generated: Path) -> dict[str, dict]:
    manifest = json.loads((generated / "target" / "manifest.json").read_text())
    return manifest["unit_tests"]


def test_every_feature_has_a_unit_test(generated: Path, unit_tests: dict[str, dict]) -> None:
    with duckdb.connect(generated / "published" / "warehouse.duckdb", read_only=True) as connection:
        rows = connection.execute("select feature from marts.feature_definitions").fetchall()
    tested = {
        feature
        for node in unit_tests.values()
        for feature in node["config"]["meta"].get("features", [])
    }
    assert rows
    assert {feature for (feature,) in rows} == tested


def test_build_ran_every_unit_test(generated: Path, unit_tests: dict[str, dict]) -> None:
    results = json.loads((generated / "target" / "run_results.json").read_text())["results"]
    passed = {row["unique_id"] for row in results if row["status"] == "pass"}
    assert unit_tests
    assert unit_tests.keys() <= passed
