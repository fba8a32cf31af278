"""Bootstrap by day, against scikit-learn on the resampled rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from ml import intervals
from tests.ml_fixture import noisy_scores, scored


def weighted_fold_auc(folds, hits, scores) -> float:
    parts = [(hits[folds == fold], scores[folds == fold]) for fold in np.unique(folds)]
    pairs = [part.sum() * (1 - part).sum() for part, _ in parts]
    return np.average([roc_auc_score(*part) for part in parts], weights=pairs)


def test_bootstrap_draws_equal_sklearn_on_the_resampled_rows():
    noisy = noisy_scores()
    draws = intervals.bootstrap_by_day(noisy, (5,), draws=20, seed=1)
    days = np.unique(noisy.sessions)
    counts = np.random.default_rng(1).multinomial(8, np.full(8, 1 / 8), size=20)
    for draw, count in zip(draws.to_dict("records"), counts, strict=True):
        rows = np.concatenate(
            [np.flatnonzero(noisy.sessions == day) for day in np.repeat(days, count)]
        )
        hits, scores = noisy.hits[rows], noisy.scores[rows]
        assert draw["auc"] == pytest.approx(roc_auc_score(hits, scores))
        assert draw["fold_auc"] == pytest.approx(weighted_fold_auc(noisy.folds[rows], hits, scores))
        assert draw["pr_auc"] == pytest.approx(average_precision_score(hits, scores))
        assert draw["log_loss"] == pytest.approx(log_loss(hits, scores))
        assert draw["brier"] == pytest.approx(np.mean((hits - scores) ** 2))


def test_many_distinct_scores_are_ranked_closely_enough():
    random = np.random.default_rng(5)
    hits = random.random(20_000) < 0.3
    rows = scored(np.zeros(20_000), hits, 1 / (1 + np.exp(-random.normal(hits, 1))))
    whole = intervals._curve_areas(rows, np.zeros(20_000, dtype=int), np.ones((1, 1)))
    assert whole[0][0] == pytest.approx(roc_auc_score(rows.hits, rows.scores), abs=1e-4)
    assert whole[1][0] == pytest.approx(average_precision_score(rows.hits, rows.scores), abs=1e-3)


def test_bootstrap_is_the_same_for_the_same_seed():
    noisy = noisy_scores()
    first, second = (intervals.bootstrap_by_day(noisy, (5,), draws=5, seed=2) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_days_are_resampled_whole():
    # every day is all hits or all misses: resampling rows would never give a Brier score of 0
    days = np.repeat(np.arange(6), 100)
    rows = scored(days, days % 2, np.full(600, 0.0))
    draws = intervals.bootstrap_by_day(rows, (), draws=400)
    assert draws["brier"].min() < 0.01
    assert set(np.round(draws["brier"] * 6)) <= set(range(7))


def test_four_sessions_give_no_interval():
    rows = scored([1, 2, 3, 4], [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    assert np.isnan(intervals.interval(intervals.bootstrap_by_day(rows, ())["auc"])).all()
