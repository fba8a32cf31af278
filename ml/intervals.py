"""How sure the metrics are: resampling whole sessions, and the model's lead over its baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ml.evaluate import (
    Codes,
    Floats,
    Scored,
    calibration_table,
    hits_by_score,
    pairs_in_folds,
    precision_at_k,
    ratio,
    summarise,
    summarise_alerts,
)

MIN_SESSIONS = 5
"""Fewer sessions than this say nothing of the spread between sessions."""


def compare(out_of_fold: pd.DataFrame, names: list[str], top_k: tuple[int, ...]) -> dict[str, Any]:
    """Return the metrics of the score columns `names` with 95 % intervals, and the lead of the
    first over each other one: the difference in fold_auc on the same resamples of the sessions."""
    scored = {name: Scored.from_frame(out_of_fold, name) for name in names}
    draws = {name: bootstrap_by_day(scored[name], top_k) for name in names}
    contenders: dict[str, dict[str, Any]] = {
        name: summarise(scored[name], top_k)
        | {f"{metric}_95": interval(draws[name][metric]) for metric in draws[name]}
        for name in names
    }
    model, *baselines = names
    lead = {
        name: {
            "fold_auc": contenders[model]["fold_auc"] - contenders[name]["fold_auc"],
            "fold_auc_95": interval(draws[model]["fold_auc"] - draws[name]["fold_auc"]),
        }
        for name in baselines
    }
    calibration = calibration_table(scored[model].hits, scored[model].scores)
    return {
        "contenders": contenders,
        "lead": lead,
        "is_better_than_chance": contenders[model]["fold_auc_95"][0] > 0.5,
        "calibration": calibration.to_dict("records"),
        "alerts": summarise_alerts(out_of_fold, model),
    }


def bootstrap_by_day(
    scored: Scored, top_k: tuple[int, ...], *, draws: int = 1_000, seed: int = 0
) -> pd.DataFrame:
    """Return one row of metrics per resample of the sessions, drawn with replacement.

    The draws depend on the sessions and the seed only, so those of two models of the same rows are
    paired. For AUC and PR-AUC scores are ranked into 2,000 bins: exact for up to as many scores.
    All NaN for fewer than 5 sessions.
    """
    sessions, codes = np.unique(scored.sessions, return_inverse=True)
    count = len(sessions)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    auc, pr_auc = _curve_areas(scored, codes, weights.astype(np.float64))
    fold_auc = ratio(*pairs_in_folds(scored, codes, weights.astype(np.float64)))
    clipped = np.clip(scored.scores, 1e-15, 1 - 1e-15)
    losses = -np.where(scored.hits > 0, np.log(clipped), np.log1p(-clipped))
    rows = weights @ np.bincount(codes)
    result = {
        "fold_auc": fold_auc,
        "auc": auc,
        "pr_auc": pr_auc,
        "log_loss": weights @ np.bincount(codes, losses) / rows,
        "brier": weights @ np.bincount(codes, (scored.scores - scored.hits) ** 2) / rows,
    }
    for k in top_k:
        daily = precision_at_k(scored, k)["precision"].to_numpy()
        result[f"precision_at_{k}"] = weights @ daily / count
    draws_by_metric = pd.DataFrame(result)
    return draws_by_metric if count >= MIN_SESSIONS else draws_by_metric * np.nan


def interval(draws: pd.Series[float]) -> tuple[float, float]:
    """Return the 95 % interval of `draws`, leaving out those in which the metric is undefined."""
    low, high = draws.quantile([0.025, 0.975])
    return float(low), float(high)


def _curve_areas(scored: Scored, codes: Codes, weights: Floats) -> tuple[Floats, Floats]:
    """Areas under the ROC and precision-recall curves, one per row of session weights."""
    hits, misses = hits_by_score(scored, codes, weights)
    all_hits, all_misses = hits.cumsum(axis=1), misses.cumsum(axis=1)
    precision = np.nan_to_num(ratio(all_hits, all_hits + all_misses))
    pairs_won = (misses * (all_hits - hits / 2)).sum(axis=1)
    auc = ratio(pairs_won, all_hits[:, -1] * all_misses[:, -1])
    return auc, ratio((hits * precision).sum(axis=1), all_hits[:, -1])
