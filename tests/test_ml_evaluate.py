"""Metrics against values worked out by hand, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, fbeta_score, log_loss, roc_auc_score

from ml import evaluate
from ml.evaluate import Scored


def scored(sessions, hits, scores, buckets=None) -> Scored:
    return Scored(
        np.array(sessions),
        np.array(buckets if buckets is not None else [0] * len(hits)),
        np.array(hits, dtype=float),
        np.array(scores, dtype=float),
    )


@pytest.fixture
def noisy() -> Scored:
    random = np.random.default_rng(3)
    hits = random.random(600) < 0.3
    scores = np.round(np.clip(0.3 * hits + 0.6 * random.random(600), 0.01, 0.99), 2)
    return scored(random.integers(0, 8, 600), hits, scores)


def test_threshold_maximises_f_half():
    assert evaluate.best_threshold(
        np.array([0.0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    ) == pytest.approx(0.5)


def test_no_threshold_does_better(noisy):
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


def test_one_class_has_no_auc():
    assert np.isnan(evaluate.summarise(scored([1, 1], [0, 0], [0.1, 0.2]), ())["auc"])


def test_bootstrap_draws_equal_sklearn_on_the_resampled_rows(noisy):
    draws = evaluate.bootstrap_by_day(noisy, (5,), draws=20, seed=1)
    days = np.unique(noisy.sessions)
    counts = np.random.default_rng(1).multinomial(8, np.full(8, 1 / 8), size=20)
    for draw, count in zip(draws.to_dict("records"), counts, strict=True):
        rows = np.concatenate(
            [np.flatnonzero(noisy.sessions == day) for day in np.repeat(days, count)]
        )
        hits, scores = noisy.hits[rows], noisy.scores[rows]
        assert draw["auc"] == pytest.approx(roc_auc_score(hits, scores))
        assert draw["pr_auc"] == pytest.approx(average_precision_score(hits, scores))
        assert draw["log_loss"] == pytest.approx(log_loss(hits, scores))
        assert draw["brier"] == pytest.approx(np.mean((hits - scores) ** 2))


def test_many_distinct_scores_are_ranked_closely_enough():
    random = np.random.default_rng(5)
    hits = random.random(20_000) < 0.3
    rows = scored(np.zeros(20_000), hits, 1 / (1 + np.exp(-random.normal(hits, 1))))
    rows = Scored(random.integers(0, 5, 20_000), rows.buckets, rows.hits, rows.scores)
    whole = evaluate._curve_areas(rows, np.zeros(20_000, dtype=int), np.ones((1, 1)))
    assert whole[0][0] == pytest.approx(roc_auc_score(rows.hits, rows.scores), abs=1e-4)
    assert whole[1][0] == pytest.approx(average_precision_score(rows.hits, rows.scores), abs=1e-3)


def test_bootstrap_is_the_same_for_the_same_seed(noisy):
    first, second = (evaluate.bootstrap_by_day(noisy, (5,), draws=5, seed=2) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_days_are_resampled_whole():
    # every day is all hits or all misses: resampling rows would never give a Brier score of 0
    days = np.repeat(np.arange(6), 100)
    rows = scored(days, days % 2, np.full(600, 0.0))
    draws = evaluate.bootstrap_by_day(rows, (), draws=400)
    assert draws["brier"].min() < 0.01
    assert set(np.round(draws["brier"] * 6)) <= set(range(7))


def test_four_sessions_give_no_interval():
    rows = scored([1, 2, 3, 4], [0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])
    assert np.isnan(evaluate.interval(evaluate.bootstrap_by_day(rows, ())["auc"])).all()


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
