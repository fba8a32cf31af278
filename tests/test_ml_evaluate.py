"""Metrics against values worked out by hand, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import fbeta_score

from ml import evaluate
from tests.ml_fixture import noisy_scores, scored


def test_threshold_maximises_f_half():
    assert evaluate.best_threshold(
        np.array([0.0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    ) == pytest.approx(0.5)


def test_no_threshold_does_better():
    noisy = noisy_scores()
    thr = evaluate.best_threshold(noisy.hits, noisy.scores)
    found = fbeta_score(noisy.hits, noisy.scores >= thr, beta=0.5)
    others = [fbeta_score(noisy.hits, noisy.scores >= t, beta=0.5) for t in set(noisy.scores)]
    assert found == pytest.approx(max(others))


def test_threshold_without_a_hit_is_an_error():
    with pytest.raises(ValueError, match="no hit"):
        evaluate.best_threshold(np.zeros(3), np.array([0.1, 0.2, 0.3]))


def test_precision_at_k_is_averaged_over_days_not_pooled():
    # day 1: best two are 1 and 0 -> 1/2; day 2: best two are 1 and 1 -> 1
    rows = scored([1, 1, 1, 2, 2], [1, 0, 1, 1, 1], [0.9, 0.8, 0.1, 0.3, 0.2])
    daily = evaluate.precision_at_k(rows, 2)
    assert daily["precision"].tolist() == [0.5, 1.0]
    assert evaluate.summarise(rows, (2,))["precision_at_2"] == 0.75


def test_day_with_fewer_rows_is_judged_on_those_it_has():
    daily = evaluate.precision_at_k(scored([1], [1], [0.9]), 5)
    assert daily["precision"].tolist() == [1.0]


def test_ties_count_as_broken_at_random():
    rows = scored([1, 1, 1, 1], [1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5])
    assert evaluate.precision_at_k(rows, 1)["precision"].tolist() == [0.25]


def test_lift_compares_within_session_and_hour():
    # the best row is a hit in an hour in which half of the rows are: lift 2, not 4
    rows = scored([1, 1, 1, 1], [1, 0, 0, 0], [0.9, 0.8, 0.7, 0.6], buckets=[9, 9, 10, 10])
    assert evaluate.summarise(rows, (1,))["lift_at_1"] == 2.0


def test_calibration_error_by_hand():
    hits, scores = np.array([0.0, 1, 1, 1]), np.array([0.1, 0.3, 0.8, 0.8])
    table = evaluate.calibration_table(hits, scores, bins=2)
    assert table.to_dict("list") == {
        "rows": [2, 2], "mean_score": [0.2, 0.8], "hit_rate": [0.5, 1.0]
    }  # fmt: skip
    assert evaluate.expected_calibration_error(table) == pytest.approx((0.3 * 2 + 0.2 * 2) / 4)


def test_equal_scores_share_a_calibration_bin():
    hits = np.array([0.0] * 50 + [1.0] * 50)
    table = evaluate.calibration_table(hits, np.full(100, 0.5))
    assert evaluate.expected_calibration_error(table) == 0.0


def test_summary_agrees_with_literal_values():
    metrics = evaluate.summarise(scored([1, 1, 2, 2], [0, 1, 0, 1], [0.1, 0.4, 0.35, 0.8]), ())
    expected = {"rows": 4, "base_rate": 0.5, "auc": 1.0, "pr_auc": 1.0, "brier": 0.133125}
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)
    assert metrics["log_loss"] == pytest.approx(-np.log([0.9, 0.4, 0.65, 0.8]).mean())


def test_fold_auc_compares_within_a_fold_only():
    # each fold ranks its rows perfectly; across folds a miss of fold 2 outscores a hit of fold 1
    rows = scored([1, 1, 2, 2], [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], folds=[1, 1, 2, 2])
    metrics = evaluate.summarise(rows, ())
    assert (metrics["fold_auc"], metrics["auc"]) == (1.0, 0.75)


def test_constant_scores_per_fold_are_no_skill():
    # the pooled AUC calls it skill that the fold with the higher score has more hits
    rows = scored([1, 1, 2, 2, 2], [0, 1, 0, 1, 1], [0.2] * 2 + [0.6] * 3, folds=[1, 1, 2, 2, 2])
    metrics = evaluate.summarise(rows, ())
    assert metrics["fold_auc"] == 0.5
    assert metrics["auc"] > 0.5


def test_one_class_has_no_auc():
    assert np.isnan(evaluate.summarise(scored([1, 1], [0, 0], [0.1, 0.2]), ())["auc"])


def test_alerts_are_counted_at_each_folds_own_threshold():
    frame = pd.DataFrame(
        {
            "session_date": pd.to_datetime(["2025-01-01", "2025-01-01", "2025-01-02"]),
            "hit": [1.0, 0.0, 1.0],
            "hit_net": [np.nan, 0.0, 0.0],
            "thr": [0.5, 0.5, 0.2],
            "lightgbm": [0.5, 0.4, 0.3],
        }
    )
    alerts = evaluate.summarise_alerts(frame, "lightgbm")
    assert alerts["alerts_per_session"] == 1.0
    assert (alerts["precision"], alerts["precision_net"]) == (1.0, 0.0)
