"""Train the models that score signals: `make train`, or

    python -m ml.train [--horizons 30,60] [--all-bars] [--folds 5] [--embargo 1] [--min-rows 500]

Reads marts.training_rows of the published snapshot, judges LightGBM and its baselines on sessions
they have not seen, then fits the final model on all of them. Writes models/<run_id>/ in the data
folder, model_lgbm_<horizon>m.bin, symbol_stats.json, and a row per horizon in raw.model_runs.

Exit status: 0 trained; 1 something is missing or broken; 2 too little data for a horizon (its
earlier model stays as it is).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import duckdb
import lightgbm as lgb
import pandas as pd
import pyarrow as pa
import typer
from pydantic import ValidationError
from rich.console import Console

from ingest.clock import parse_clock
from ingest.settings import Settings
from ingest.warehouse import (
    DatabaseLockedError,
    DatabaseUnusableError,
    land,
    open_database,
    open_warehouse,
)
from ml import evaluate, registry, report
from ml.dataset import (
    Dataset,
    SnapshotError,
    TooLittleDataError,
    open_snapshot_path,
    read_dataset,
    reading,
    walk_forward,
)
from ml.models import CONTENDERS, PARAMS, FoldResult, fit_lightgbm, judge_fold, threshold

TOP_K = (5, 10)
"""Alerts per session that a person can follow."""

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


def train_horizon(
    dataset: Dataset, run_id: str, options: Options, on_step: Callable[[int, int], None]
) -> Trained:
    """Judge and fit the model of one horizon; `on_step(done, of)` is called after each fit.

    Raises TooLittleDataError with the reason.
    """
    _check_enough(dataset, options.min_rows)
    folds = walk_forward(dataset.sessions, options.folds, options.embargo)
    results: list[FoldResult] = []
    for number, fold in enumerate(folds, start=1):
        result = judge_fold(dataset, fold, number)
        results += [result] if result else []
        on_step(number, len(folds) + 1)
    out_of_fold = _out_of_fold(results, dataset.horizon_minutes)
    rounds = int(median(result.rounds for result in results))
    booster = fit_lightgbm(dataset.rows, dataset.features.names, rounds=rounds)
    on_step(len(folds) + 1, len(folds) + 1)
    model = registry.PromotedModel(
        features=list(dataset.features.names),
        definition_hash=dataset.features.definition_hash,
        thr=threshold(pd.concat([result.validation for result in results])),
        run_id=run_id,
        horizon_minutes=dataset.horizon_minutes,
        booster=booster,
    )
    contenders = [name for name in CONTENDERS if name in out_of_fold.columns]
    metrics = evaluate.compare(out_of_fold, contenders, TOP_K) | {
        "folds": [_describe_fold(result) for result in results],
        "folds_left_out": len(folds) - len(results),
        "rounds": rounds,
        "gain": _gain(booster),
    }
    return Trained(model, dataset, out_of_fold, metrics)


def decide_promotion(data_dir: Path, trained: Trained) -> tuple[bool, str]:
    """Say whether `trained` becomes the promoted model of its horizon, and why.

    A model that beats chance does. One that doesn't does too, so that there is a score at all, but
    never in the place of a model that the live service can still use.
    """
    lead = trained.metrics["lead"]
    unbeaten = [name for name in lead if not lead[name]["auc_95"][0] > 0]
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


def run(settings: Settings, options: Options, console: Console) -> int:
    """Train, save, promote and record; return the exit status."""
    data_dir = settings.data_dir
    now = parse_clock(settings.simulated_clock).now()
    run_id = registry.new_run_id(data_dir / "models", now)
    runs: list[Trained] = []
    with open_database(open_snapshot_path(settings.published_path), read_only=True) as snapshot:
        with reading(settings.published_path):
            export_symbol_stats(snapshot, data_dir / "symbol_stats.json")
        for horizon in options.horizons:
            with reading(settings.published_path):
                dataset = read_dataset(snapshot, horizon, all_bars=options.all_bars)
            try:
                with report.progress(console, horizon, dataset) as on_step:
                    runs.append(train_horizon(dataset, run_id, options, on_step))
            except TooLittleDataError as error:
                console.print(f"[bold red]No {horizon}-minute model:[/] {error}")
    if runs:
        folder = save(data_dir, run_id, runs, options)
        decisions = [decide_promotion(data_dir, trained) for trained in runs]
        for trained, (is_promoted, outcome) in zip(runs, decisions, strict=True):
            if is_promoted:
                registry.promote(
                    data_dir, folder / registry.model_name(trained.model.horizon_minutes)
                )
            report.show(console, trained.model, trained.metrics, is_promoted, outcome)
        record(settings.warehouse_path, runs, decisions, now)
        console.print(f"Run {run_id} is in {folder}")
    return 0 if len(runs) == len(options.horizons) else 2


def _check_enough(dataset: Dataset, min_rows: int) -> None:
    rows, horizon = dataset.rows, dataset.horizon_minutes
    if len(rows) < min_rows:
        raise TooLittleDataError(
            f"{len(rows)} labelled rows for {horizon} minutes, at least {min_rows} needed: "
            "ingest more sessions (make ingest), or use --all-bars or a lower --min-rows"
        )
    if rows["hit"].nunique() < 2:
        raise TooLittleDataError(
            f"all {len(rows)} rows for {horizon} minutes have hit = {bool(rows['hit'].iloc[0])}: "
            "ingest more sessions (make ingest), or use --all-bars"
        )


def _out_of_fold(results: list[FoldResult], horizon_minutes: int) -> pd.DataFrame:
    tests = pd.concat([result.test for result in results], ignore_index=True) if results else None
    if tests is None or tests["hit"].nunique() < 2:
        raise TooLittleDataError(
            f"hits and misses are too rare to judge a {horizon_minutes}-minute model on unseen "
            "sessions: ingest more sessions (make ingest), or use --all-bars"
        )
    return tests


def _describe_fold(result: FoldResult) -> dict[str, Any]:
    return {
        "train_sessions": result.fold.train,
        "validation_sessions": result.fold.validation,
        "test_sessions": result.fold.test,
        "train_rows": result.train_rows,
        "rounds": result.rounds,
        "thr": result.thr,
        **evaluate.summarise(evaluate.Scored.from_frame(result.test, "lightgbm"), TOP_K),
    }


def _gain(booster: lgb.Booster) -> dict[str, float]:
    gain = booster.feature_importance("gain")
    ranked = sorted(zip(booster.feature_name(), gain, strict=True), key=lambda pair: -pair[1])
    return {name: float(value / max(gain.sum(), 1e-12)) for name, value in ranked}


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    horizons: Annotated[str, typer.Option(help="Label horizons in minutes.")] = "30,60",
    all_bars: Annotated[
        bool, typer.Option(help="Learn from all bars, not candidates only.")
    ] = False,
    folds: Annotated[int, typer.Option(min=1, help="Walk-forward folds, at most.")] = 5,
    embargo: Annotated[int, typer.Option(min=0, help="Unused sessions between parts.")] = 1,
    min_rows: Annotated[int, typer.Option(min=1, help="Labelled rows needed to train.")] = 500,
) -> None:
    """Train a model per horizon on the published snapshot and promote it."""
    console = Console()
    try:
        asked = tuple(dict.fromkeys(int(horizon) for horizon in horizons.split(",")))
    except ValueError:
        raise typer.BadParameter(f"{horizons!r} is not a list of minutes like 30,60") from None
    options = Options(asked, all_bars, folds, embargo, min_rows)
    try:
        status = run(Settings(), options, console)
    except (
        SnapshotError, DatabaseLockedError, DatabaseUnusableError, ValidationError,
        ValueError, OSError, duckdb.Error,
    ) as error:  # fmt: skip
        console.print(f"[bold red]Training failed:[/] {error}")
        status = 1
    raise typer.Exit(status)


if __name__ == "__main__":
    app()
