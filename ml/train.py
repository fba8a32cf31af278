"""Train the models that score signals: `make train`, or

    python -m ml.train [--horizons 30,60] [--all-bars] [--folds 5] [--embargo 1] [--min-rows 500]
        [--brief]

Reads marts.training_rows of the published snapshot, judges LightGBM and its baselines on sessions
they have not seen, then fits the final model on all of them. Writes models/<run_id>/ in the data
folder, model_lgbm_<horizon>m.bin, symbol_stats.json, and a row per horizon in raw.model_runs.

Exit status: 0 trained; 1 something is missing or broken; 2 too little data for a horizon (its
earlier model stays as it is).
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Annotated, Any

import duckdb
import lightgbm as lgb
import pandas as pd
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from ingest.clock import parse_clock
from ingest.settings import Settings, described
from ingest.warehouse import DatabaseLockedError, DatabaseUnusableError, open_database
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
from ml.intervals import compare
from ml.models import CONTENDERS, FoldResult, fit_lightgbm, judge_fold, threshold
from ml.runs import Options, Trained, decide_promotion, export_symbol_stats, record, save

TOP_K = (5, 10)
"""Alerts per session that a person can follow."""


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
    metrics = compare(out_of_fold, contenders, TOP_K) | {
        "folds": [_describe_fold(result) for result in results],
        "folds_left_out": len(folds) - len(results),
        "rounds": rounds,
        "gain": _gain(booster),
    }
    return Trained(model, dataset, out_of_fold, metrics)


def run(settings: Settings, options: Options, console: Console, *, brief: bool = False) -> int:
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
                reason = f"[bold red]No {horizon}-minute model:[/] {escape(str(error))}"
                Console(stderr=True).print(reason, soft_wrap=True)
    if runs:
        folder = save(data_dir, run_id, runs, options)
        decisions = [decide_promotion(data_dir, trained) for trained in runs]
        for trained, (is_promoted, outcome) in zip(runs, decisions, strict=True):
            if is_promoted:
                registry.promote(
                    data_dir, folder / registry.model_name(trained.model.horizon_minutes)
                )
            report.show(console, trained.model, trained.metrics, is_promoted, outcome, brief=brief)
        more = "; make train shows all the evidence" if brief else ""
        console.print(f"Run {run_id} is in {folder}{more}", soft_wrap=True)
        record(settings.warehouse_path, runs, decisions, now)
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
    brief: Annotated[bool, typer.Option(help="Show a line of evidence per model.")] = False,
) -> None:
    """Train a model per horizon on the published snapshot and promote it."""
    console = Console()
    try:
        asked = tuple(dict.fromkeys(int(horizon) for horizon in horizons.split(",")))
    except ValueError:
        raise typer.BadParameter(f"{horizons!r} is not a list of minutes like 30,60") from None
    options = Options(asked, all_bars, folds, embargo, min_rows)
    try:
        status = run(Settings(), options, console, brief=brief)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped. The models in use are as they were.")
        status = 130
    except (
        SnapshotError, DatabaseLockedError, DatabaseUnusableError, ValidationError,
        ValueError, OSError, duckdb.Error,
    ) as error:  # fmt: skip
        message = described(error) if isinstance(error, ValidationError) else str(error)
        Console(stderr=True).print(f"[bold red]Error:[/] {escape(message)}", soft_wrap=True)
        status = 1
    raise typer.Exit(status)


if __name__ == "__main__":
    app()
