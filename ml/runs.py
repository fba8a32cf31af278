"""What a training run leaves behind: its folder, the promoted models, the row in raw.model_runs."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from ingest.warehouse import land, open_warehouse
from ml import registry
from ml.dataset import Dataset
from ml.models import PARAMS

PROVIDER = "ml"


@dataclass(frozen=True)
class Options:
    """What a training run was asked for."""

    horizons: tuple[int, ...] = (30, 60)
    all_bars: bool = False
    folds: int = 5
    embargo: int = 1
    min_rows: int = 500


@dataclass(frozen=True)
class Trained:
    """The final model of one horizon and the evidence for it."""

    model: registry.PromotedModel
    dataset: Dataset
    out_of_fold: pd.DataFrame
    metrics: dict[str, Any]


def decide_promotion(data_dir: Path, trained: Trained) -> tuple[bool, str]:
    """Say whether `trained` becomes the promoted model of its horizon, and why.

    A model that beats chance does. One that doesn't does too, so that there is a score at all, but
    never in the place of a model that the live service can still use.
    """
    lead = trained.metrics["lead"]
    unbeaten = [name for name in lead if not lead[name]["fold_auc_95"][0] > 0]
    if trained.metrics["is_better_than_chance"]:
        if unbeaten:
            return True, f"better than chance, but NOT SHOWN TO BEAT {', '.join(unbeaten)}"
        return True, "better than chance and than every baseline"
    try:
        earlier = registry.load_promoted(data_dir, trained.model.horizon_minutes)
    except registry.ModelFileError:
        earlier = None
    if earlier and earlier.definition_hash == trained.model.definition_hash:
        return False, f"NOT SHOWN TO BEAT CHANCE: {earlier.run_id} stays in use"
    return True, "NOT SHOWN TO BEAT CHANCE, used only as there is no usable model before it"


def save(data_dir: Path, run_id: str, runs: list[Trained], options: Options) -> Path:
    """Write models/<run_id>/: per horizon the model file, LightGBM's text and the scores of unseen
    sessions; and metrics.json with all that is needed to repeat the run."""
    files: dict[str, bytes] = {}
    described: dict[str, Any] = {
        "run_id": run_id,
        "options": asdict(options),
        "params": PARAMS,
        "packages": registry.package_versions(),
        "horizons": {},
    }
    for run in runs:
        horizon, features = run.model.horizon_minutes, run.dataset.features
        name = registry.model_name(horizon)
        files[name] = registry.pack_model(run.model)
        files[name.replace(".bin", ".txt")] = run.model.booster.model_to_string().encode()
        files[f"out_of_fold_{horizon}m.parquet"] = _parquet(run.out_of_fold)
        described["horizons"][str(horizon)] = {
            "definition_hash": features.definition_hash,
            "features": features.names,
            "sessions": run.dataset.sessions,
            "rows": len(run.dataset.rows),
            "thr": run.model.thr,
            **run.metrics,
        }
    files["metrics.json"] = registry.to_json(described)
    return registry.save_run(data_dir / "models", run_id, files)


def record(
    warehouse: Path, runs: list[Trained], decisions: list[tuple[bool, str]], now: datetime
) -> None:
    """Land one row per horizon in raw.model_runs, holding the lock for that moment only."""
    rows = [
        {
            "run_id": run.model.run_id,
            "horizon_minutes": run.model.horizon_minutes,
            "trained_at": now,
            "definition_hash": run.model.definition_hash,
            "feature_count": len(run.model.features),
            "session_count": len(run.dataset.sessions),
            "row_count": len(run.dataset.rows),
            "thr": run.model.thr,
            "metrics": registry.to_json(run.metrics).decode(),
            "params": json.dumps(PARAMS),
            "is_promoted": is_promoted,
            "outcome": outcome,
        }
        for run, (is_promoted, outcome) in zip(runs, decisions, strict=True)
    ]
    with open_warehouse(warehouse) as connection:
        land(connection, "model_runs", pa.Table.from_pylist(rows), provider=PROVIDER, landed_at=now)


def export_symbol_stats(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write marts.symbol_stats to `path`: a JSON list with an object per symbol."""
    cursor = connection.execute("select * from marts.symbol_stats order by symbol")
    names = [name for name, *_ in cursor.description or []]
    stats = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    registry.replace_file(path, registry.to_json(stats))


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
