"""The models: LightGBM, the baselines it has to beat, and one walk-forward fold of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ml import evaluate
from ml.dataset import KEYS, Dataset, Fold, split

PARAMS: dict[str, Any] = {
    "objective": "binary",
    "metric": "binary_logloss",  # a proper score: thr and calibration need probabilities
    "learning_rate": 0.1,
    "num_leaves": 15,  # neighbouring minutes look alike: small trees with large leaves
    "min_data_in_leaf": 50,
    "feature_fraction": 0.8,
    "lambda_l2": 5.0,
    "seed": 7,
    "deterministic": True,
    "force_col_wise": True,  # else LightGBM times both ways and picks: not the same every run
    "num_threads": 2,
    "verbosity": -1,
}
MAX_ROUNDS = 1_000
PATIENCE = 30
"""Rounds without a better validation loss before stopping."""

CONTENDERS = ("lightgbm", "logistic", "rvol_1m", "base_rate")
"""Score columns, the model first, then its baselines."""


@dataclass(frozen=True)
class FoldResult:
    """What one fold's models said of sessions they had not seen."""

    fold: Fold
    train_rows: int
    validation: pd.DataFrame
    """Columns hit, lightgbm."""
    test: pd.DataFrame
    """Key columns, hit, hit_net, fold, thr and one column of scores per contender."""
    rounds: int
    thr: float


def fit_lightgbm(
    train: pd.DataFrame,
    features: tuple[str, ...],
    *,
    rounds: int = MAX_ROUNDS,
    validation: pd.DataFrame | None = None,
) -> lgb.Booster:
    """Fit LightGBM on `train`; with `validation` stop once its loss no longer falls."""
    train_set = lgb.Dataset(_inputs(train, features), train["hit"], feature_name=list(features))
    if validation is None:
        return lgb.train(PARAMS, train_set, rounds)
    validation_set = train_set.create_valid(_inputs(validation, features), validation["hit"])
    stopping = lgb.early_stopping(PATIENCE, verbose=False)
    return lgb.train(PARAMS, train_set, rounds, [validation_set], callbacks=[stopping])


def fit_logistic(train: pd.DataFrame, features: tuple[str, ...]) -> Pipeline:
    """Fit a logistic regression on `train`: missing values as medians, inputs scaled."""
    pipeline = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1_000),
    )
    return pipeline.fit(_inputs(train, features), train["hit"])


def threshold(validation: pd.DataFrame) -> float:
    """Choose thr on validation rows (columns hit, lightgbm)."""
    return evaluate.best_threshold(
        validation["hit"].to_numpy(dtype=float), validation["lightgbm"].to_numpy(dtype=float)
    )


def judge_fold(dataset: Dataset, fold: Fold, number: int) -> FoldResult | None:
    """Train on the fold's past and score the candidates of its test sessions.

    Candidates only, and thr for them only, whatever it learned from: they are what is scored live.
    None where one outcome is all there is to learn from or to choose thr on.
    """
    features = dataset.features.names
    train, validation, test = split(dataset.rows, fold)
    candidates, test = validation[validation["is_candidate"]], test[test["is_candidate"]]
    if train["hit"].nunique() < 2 or candidates["hit"].nunique() < 2 or test.empty:
        return None
    booster = fit_lightgbm(train, features, validation=validation)
    scored = candidates[["hit"]].assign(lightgbm=booster.predict(_inputs(candidates, features)))
    thr = threshold(scored)
    scores = {"lightgbm": booster.predict(_inputs(test, features))}
    scores |= _baseline_scores(train, test, features)
    judged = test[[*KEYS, "hit", "hit_net"]].assign(fold=number, thr=thr, **scores)
    return FoldResult(fold, len(train), scored, judged, booster.best_iteration, thr)


def _baseline_scores(
    train: pd.DataFrame, test: pd.DataFrame, features: tuple[str, ...]
) -> dict[str, npt.NDArray[np.float64]]:
    scores = {"base_rate": np.full(len(test), train["hit"].mean())}
    inputs = {"logistic": features, "rvol_1m": ("rvol_1m",)}
    for name, columns in inputs.items():
        if set(columns) <= set(features):
            model = fit_logistic(train, columns)
            scores[name] = model.predict_proba(_inputs(test, columns))[:, 1]
    return scores


def _inputs(rows: pd.DataFrame, features: tuple[str, ...]) -> npt.NDArray[np.float64]:
    return rows[list(features)].to_numpy(dtype=np.float64)
