"""The whole dbt project run again in one connection, in a transaction, from what dbt compiled."""

from __future__ import annotations

import json
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path

import duckdb

Rebuild = Callable[[], None]


def rebuilder(connection: duckdb.DuckDBPyConnection, built: Path) -> Rebuild:
    """Return what remakes every table of the warehouse from its raw tables, in order.

    `built` is the data directory that dbt built, with its manifest; contracts and hooks are dbt's
    business and are left out.
    """
    manifest = json.loads((built / "target" / "manifest.json").read_text())
    models = {k: n for k, n in manifest["nodes"].items() if n["resource_type"] == "model"}
    parents = {
        key: [p for p in node["depends_on"]["nodes"] if p in models] for key, node in models.items()
    }
    statements = [
        f"create or replace table {node['schema']}.{node['name']} as {node['compiled_code']}"
        for node in (models[key] for key in TopologicalSorter(parents).static_order())
        if node["config"]["materialized"] in ("table", "per_session")
    ]

    def rebuild() -> None:
        for statement in statements:
            connection.execute(statement).fetchall()

    return rebuild
