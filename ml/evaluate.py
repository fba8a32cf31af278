"""How good scores are: metrics as pure functions of labels, scores and sessions.

A session's rows depend on each other, so what is per day is averaged over days and intervals come
from resampling whole sessions.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
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
Codes = npt.NDArray[np.int64]

BETA = 0.5
"""Weight of recall in the objective of thr: precision counts twice as much."""

CALIBRATION_BINS = 10
RANK_BINS = 2_000


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
    folds: npt.NDArray[np.int64]
    """Which model gave the score."""

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, score_column: str) -> Scored:
        """Take session_date, bar_at, hit, fold and `score_column` of `frame`."""
        return cls(
            frame["session_date"].to_numpy(),
            frame["bar_at"].dt.hour.to_numpy(),
            frame["hit"].to_numpy(dtype=np.float64),
            frame[score_column].to_numpy(dtype=np.float64),
            frame["fold"].to_numpy(),
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
    """Return the metrics of `scored`; AUC and PR-AUC are NaN where only one class occurs.

    `fold_auc` compares hits and misses of the same fold only, as live every score comes from one
    model: `auc`, of all pairs, takes a base rate that changes between folds for skill or its lack.
    """
    hits, scores = scored.hits, scored.scores
    has_both = 0 < hits.mean() < 1
    everything, pairs = pairs_in_folds(scored, np.zeros(len(hits), dtype=np.int64), np.ones((1, 1)))
    metrics = {
        "rows": float(len(hits)),
        "base_rate": float(hits.mean()),
        "fold_auc": float(ratio(everything, pairs)[0]),
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


def pairs_in_folds(scored: Scored, codes: Codes, weights: Floats) -> tuple[Floats, Floats]:
    """Return the pairs of a hit and a miss of one fold: in the right order (ties half), and all."""
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for fold in np.unique(scored.folds):
        is_in = scored.folds == fold
        part = Scored(*(getattr(scored, column.name)[is_in] for column in fields(scored)))
        hits, misses = hits_by_score(part, codes[is_in], weights)
        won += (misses * (hits.cumsum(axis=1) - hits / 2)).sum(axis=1)
        pairs += hits.sum(axis=1) * misses.sum(axis=1)
    return won, pairs


def hits_by_score(scored: Scored, codes: Codes, weights: Floats) -> tuple[Floats, Floats]:
    """Return hits and misses per row of session weights and distinct score, the best score first.

    `codes` numbers the session of each row, a column of `weights`. More than 2,000 distinct scores
    are ranked into as many bins.
    """
    _, ranks = np.unique(scored.scores, return_inverse=True)
    if ranks.max() >= RANK_BINS:
        ranks = _rank_bins(scored.scores, RANK_BINS)
    shape = (weights.shape[1], int(ranks.max()) + 1)
    cells = codes * shape[1] + ranks
    hits, misses = (
        np.bincount(cells, counted, shape[0] * shape[1]).reshape(shape)[:, ::-1]
        for counted in (scored.hits, 1 - scored.hits)
    )
    return weights @ hits, weights @ misses


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide; NaN or infinite where the denominator is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerator / denominator)


def _rank_bins(scores: Floats, bins: int) -> Codes:
    ranks = pd.Series(scores).rank(method="average").to_numpy()
    return np.asarray((ranks - 0.5) / len(scores) * bins, dtype=np.int64)
