"""How good scores are: metrics as pure functions of labels, scores and sessions.

A session's rows depend on each other, so what is per day is averaged over days and intervals come
from resampling whole sessions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    classification_report,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
)

Floats = npt.NDArray[np.float64]

BETA = 0.5
"""Weight of recall in the objective of thr: precision counts twice as much."""

CALIBRATION_BINS = 10
RANK_BINS = 2_000
MIN_SESSIONS = 5
"""Fewer sessions than this say nothing of the spread between sessions."""


@dataclass(frozen=True)
class Scored:
    """Outcomes and scores of the same rows, in one order."""

    sessions: npt.NDArray[np.datetime64]
    """session_date of each row."""
    buckets: npt.NDArray[Any]
    """What rows of a session are compared within: the hour of the bar."""
    hits: Floats
    """0 or 1."""
    scores: Floats
    """Probability of a hit."""

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, score_column: str) -> Scored:
        """Take session_date, bar_at, hit and `score_column` of `frame`."""
        return cls(
            frame["session_date"].to_numpy(),
            frame["bar_at"].dt.hour.to_numpy(),
            frame["hit"].to_numpy(dtype=np.float64),
            frame[score_column].to_numpy(dtype=np.float64),
        )


def best_threshold(hits: Floats, scores: Floats) -> float:
    """Return the score that maximises F0.5 when alerting at or above it; of equals the highest.

    F0.5, as a false alert costs a trader more than a missed one, and as it needs no guess of what a
    hit pays. Raises ValueError without a hit.
    """
    if not hits.any():
        raise ValueError("no hit among the rows: a threshold can't be chosen")
    precision, recall, thresholds = precision_recall_curve(hits, scores)
    weighted = BETA**2 * precision[:-1] + recall[:-1]
    f_beta = np.divide(
        (1 + BETA**2) * precision[:-1] * recall[:-1],
        weighted,
        out=np.zeros_like(weighted),
        where=weighted > 0,
    )
    best = np.flatnonzero(f_beta == f_beta.max())[-1]
    return float(thresholds[best])


def summarise(scored: Scored, top_k: tuple[int, ...]) -> dict[str, float]:
    """Return the metrics of `scored`; AUC and PR-AUC are NaN where only one class occurs."""
    hits, scores = scored.hits, scored.scores
    has_both = 0 < hits.mean() < 1
    metrics = {
        "rows": float(len(hits)),
        "base_rate": float(hits.mean()),
        "auc": float(roc_auc_score(hits, scores)) if has_both else float("nan"),
        "pr_auc": float(average_precision_score(hits, scores)) if has_both else float("nan"),
        "log_loss": float(log_loss(hits, scores, labels=[0, 1])),
        "brier": float(brier_score_loss(hits, scores)),
        "ece": expected_calibration_error(calibration_table(hits, scores)),
    }
    for k in top_k:
        daily = precision_at_k(scored, k)
        precision, expected = daily["precision"].mean(), daily["expected"].mean()
        metrics[f"precision_at_{k}"] = float(precision)
        metrics[f"lift_at_{k}"] = float(precision / expected) if expected > 0 else float("nan")
    return metrics


def calibration_table(hits: Floats, scores: Floats, bins: int = CALIBRATION_BINS) -> pd.DataFrame:
    """Return rows, mean score and hit rate per bin of equal count; equal scores share a bin."""
    table = pd.DataFrame({"bin": _rank_bins(scores, bins), "score": scores, "hit": hits})
    return (
        table.groupby("bin")
        .agg(rows=("hit", "size"), mean_score=("score", "mean"), hit_rate=("hit", "mean"))
        .reset_index(drop=True)
    )


def expected_calibration_error(table: pd.DataFrame) -> float:
    """Return the mean distance of score and hit rate over the bins, weighted by their rows."""
    distance = (table["mean_score"] - table["hit_rate"]).abs()
    return float((distance * table["rows"]).sum() / table["rows"].sum())


def precision_at_k(scored: Scored, k: int) -> pd.DataFrame:
    """Return, per session, the hit rate of its `k` best rows and what was to be expected of them.

    `expected` is the mean, over these rows, of the hit rate of all rows of the same session and
    hour: precision over it is the lift. A session with fewer rows is judged on those it has. Ties
    count as if broken at random.
    """
    frame = pd.DataFrame(
        {
            "session": scored.sessions,
            "bucket": scored.buckets,
            "score": scored.scores,
            "hit": scored.hits,
        }
    )
    frame["precision"] = frame.groupby(["session", "score"])["hit"].transform("mean")
    bucket_rate = frame.groupby(["session", "bucket"])["hit"].transform("mean")
    frame["expected"] = bucket_rate.groupby([frame["session"], frame["score"]]).transform("mean")
    best = frame.sort_values("score", ascending=False, kind="stable").groupby("session").head(k)
    return best.groupby("session")[["precision", "expected"]].mean()


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
    clipped = np.clip(scored.scores, 1e-15, 1 - 1e-15)
    losses = -np.where(scored.hits > 0, np.log(clipped), np.log1p(-clipped))
    rows = weights @ np.bincount(codes)
    result = {
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


def compare(out_of_fold: pd.DataFrame, names: list[str], top_k: tuple[int, ...]) -> dict[str, Any]:
    """Return the metrics of the score columns `names` with 95 % intervals, and the lead of the
    first over each other one: the difference in AUC on the same resamples of the sessions."""
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
            "auc": contenders[model]["auc"] - contenders[name]["auc"],
            "auc_95": interval(draws[model]["auc"] - draws[name]["auc"]),
        }
        for name in baselines
    }
    calibration = calibration_table(scored[model].hits, scored[model].scores)
    return {
        "contenders": contenders,
        "lead": lead,
        "is_better_than_chance": contenders[model]["auc_95"][0] > 0.5,
        "calibration": calibration.to_dict("records"),
        "alerts": summarise_alerts(out_of_fold, model),
    }


def summarise_alerts(out_of_fold: pd.DataFrame, score_column: str) -> dict[str, Any]:
    """Return what alerting at or above each fold's own thr would have given.

    `precision_net` counts hits after costs, over the alerts whose spread is known.
    """
    is_alert = out_of_fold[score_column] >= out_of_fold["thr"]
    alerts = out_of_fold[is_alert]
    judged = {"y_true": out_of_fold["hit"].astype(int), "y_pred": is_alert.astype(int)}
    naming = {"labels": [0, 1], "target_names": ["no hit", "hit"], "zero_division": 0}
    return {
        "alerts": len(alerts),
        "alerts_per_session": len(alerts) / out_of_fold["session_date"].nunique(),
        "precision": float(alerts["hit"].mean()),
        "precision_net": float(alerts["hit_net"].mean()),
        "base_rate_net": float(out_of_fold["hit_net"].mean()),
        "classification_report": classification_report(**judged, **naming, output_dict=True),
        "classification_report_text": classification_report(**judged, **naming),
    }


def _rank_bins(scores: Floats, bins: int) -> npt.NDArray[np.int64]:
    ranks = pd.Series(scores).rank(method="average").to_numpy()
    return np.asarray((ranks - 0.5) / len(scores) * bins, dtype=np.int64)


def _curve_areas(
    scored: Scored, codes: npt.NDArray[np.int64], weights: Floats
) -> tuple[Floats, Floats]:
    """Areas under the ROC and precision-recall curves, one per row of session weights."""
    _, dense = np.unique(scored.scores, return_inverse=True)
    if dense.max() >= RANK_BINS:
        dense = _rank_bins(scored.scores, RANK_BINS)
    shape = (weights.shape[1], int(dense.max()) + 1)
    cells = codes * shape[1] + dense
    size = shape[0] * shape[1]
    hits = np.bincount(cells, scored.hits, size).reshape(shape)[:, ::-1]
    misses = np.bincount(cells, 1 - scored.hits, size).reshape(shape)[:, ::-1]
    new_hits, new_misses = weights @ hits, weights @ misses
    all_hits, all_misses = new_hits.cumsum(axis=1), new_misses.cumsum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = (new_misses * (all_hits - new_hits / 2)).sum(axis=1)
        auc = pairs / (all_hits[:, -1] * all_misses[:, -1])
        precision = np.nan_to_num(all_hits / (all_hits + all_misses))
        pr_auc = (new_hits * precision).sum(axis=1) / all_hits[:, -1]
    return auc, pr_auc
