"""Scoring: the promoted model is used only where it was trained on the views' own features."""

from __future__ import annotations

import os
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest

from live.scoring import Scorer
from live.signals import Score
from ml.registry import PromotedModel, pack_model

FEATURES = ["rvol_1m", "move_prev"]
ROWS = pa.table({"rvol_1m": [3.0, None], "move_prev": [0.05, 0.01], "symbol": ["A", "B"]})


def promote(data_dir: Path, features: list[str], definition_hash: str, run_id: str = "r1") -> None:
    random = np.random.default_rng(7)
    inputs = random.normal(size=(200, len(features)))
    train = lgb.Dataset(inputs, (inputs[:, 0] > 0).astype(float), feature_name=features)
    booster = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, train, 3)
    model = PromotedModel(features, definition_hash, 0.5, run_id, 30, booster)
    written = data_dir / "new.bin"
    written.write_bytes(pack_model(model))
    written.replace(data_dir / "model_lgbm_30m.bin")


@pytest.fixture
def scorer(tmp_path: Path) -> Scorer:
    return Scorer(tmp_path, FEATURES, "hash-1")


def test_no_model_gives_no_score_and_no_complaint(scorer: Scorer) -> None:
    scorer.refresh()
    assert (scorer.score(ROWS), scorer.refusal) == ([Score(), Score()], None)


def test_fitting_model_scores_each_row(scorer: Scorer) -> None:
    promote(scorer.data_dir, FEATURES, "hash-1")
    scorer.refresh()
    scores = scorer.score(ROWS)
    assert [(score.thr, score.model_run) for score in scores] == [(0.5, "r1")] * 2
    assert all(score.score is not None and 0 < score.score < 1 for score in scores)


def test_newly_promoted_model_is_taken_up(scorer: Scorer) -> None:
    promote(scorer.data_dir, FEATURES, "hash-1")
    scorer.refresh()
    promote(scorer.data_dir, FEATURES, "hash-1", run_id="r2")
    os.utime(scorer.data_dir / "model_lgbm_30m.bin", (1, 1))
    scorer.refresh()
    assert scorer.run_id == "r2"


@pytest.mark.parametrize(
    ("features", "definition_hash", "reason"),
    [(["rvol_1m", "gap"], "hash-1", "gap, move_prev"), (FEATURES, "hash-0", "hash-0")],
)
def test_model_of_other_features_is_refused(
    scorer: Scorer, features: list[str], definition_hash: str, reason: str
) -> None:
    promote(scorer.data_dir, features, definition_hash)
    scorer.refresh()
    assert reason in (scorer.refusal or "")
    assert scorer.score(ROWS) == [Score(), Score()]


def test_damaged_model_is_refused(scorer: Scorer) -> None:
    (scorer.data_dir / "model_lgbm_30m.bin").write_bytes(b"no model")
    scorer.refresh()
    assert "not a usable model file" in (scorer.refusal or "")
