"""Training as a whole: what it learns, what it must not see, what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ingest.settings import ROOT
from ingest.warehouse import open_warehouse
from ml.dataset import Dataset, FeatureList, TooLittleDataError, walk_forward
from ml.models import PARAMS, judge_fold
from ml.registry import PromotedModel, load_promoted, model_name, pack_model, replace_file
from ml.runs import Options, Trained, decide_promotion
from ml.train import app, train_horizon
from tests.ml_fixture import FEATURES, publish_snapshot, training_rows


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setitem(PARAMS, "num_threads", 1)


@pytest.fixture(autouse=True)
def _data_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("DATA_DIR", str(tmp_path))


def dataset(**options) -> Dataset:
    rows = training_rows(**{"sessions": 20, "rows": 150, "planted": True} | options)
    labels = {"hit_30m": "hit", "hit_30m_net": "hit_net"}
    rows = rows.rename(columns=labels).astype({"hit": float, "hit_net": float})
    rows["is_candidate"] = True
    rows["label_end_at"] = rows["entry_at"] + pd.Timedelta(minutes=30)
    return Dataset(FeatureList(FEATURES, "hash-1"), 30, rows)


def train(data: Dataset, **options) -> Trained:
    return train_horizon(data, "run-1", Options(**options), lambda done, total: None)


def make_train(*arguments: str):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))


def test_planted_signal_is_found_and_beats_all_baselines():
    metrics = train(dataset(), folds=3).metrics
    assert metrics["contenders"]["lightgbm"]["fold_auc_95"][0] > 0.7
    assert all(lead["fold_auc_95"][0] > 0 for lead in metrics["lead"].values())


def test_random_labels_score_like_chance():
    metrics = train(dataset(planted=False, rows=400)).metrics
    assert metrics["contenders"]["lightgbm"]["auc"] == pytest.approx(0.5, abs=0.03)
    assert metrics["contenders"]["lightgbm"]["lift_at_10"] == pytest.approx(1, abs=0.3)


def test_row_number_as_feature_teaches_nothing():
    # a feature that names the row lets a leaking split memorise its outcome
    data = dataset(planted=False, rows=300)
    data.rows["rvol_1m"] = np.arange(len(data.rows), dtype=float)
    assert train(data).metrics["contenders"]["lightgbm"]["auc"] == pytest.approx(0.5, abs=0.04)


def test_leaked_outcome_would_show():
    data = dataset(planted=False, rows=60)
    data.rows["rvol_1m"] = data.rows["hit"]
    assert train(data, folds=1).metrics["contenders"]["lightgbm"]["auc"] > 0.99


def test_later_sessions_never_influence_a_fold():
    data = dataset()
    folds = walk_forward(data.sessions, folds=3, embargo=1)
    is_later = data.rows["session_date"] > pd.Timestamp(folds[1].test[-1])
    scrambled = data.rows.copy()
    scrambled.loc[is_later, list(FEATURES)] = 0.05
    scrambled.loc[is_later, "hit"] = 1 - scrambled.loc[is_later, "hit"]
    for number in (0, 1):
        before = judge_fold(data, folds[number], number)
        after = judge_fold(replace(data, rows=scrambled), folds[number], number)
        pd.testing.assert_frame_equal(before.test, after.test)


def test_test_sessions_influence_neither_scores_nor_thr():
    data = dataset()
    fold = walk_forward(data.sessions, folds=1, embargo=1)[0]
    scrambled = data.rows.copy()
    is_test = scrambled["session_date"].isin(pd.to_datetime(list(fold.test)))
    scrambled.loc[is_test, "hit"] = 1 - scrambled.loc[is_test, "hit"]
    before, after = judge_fold(data, fold, 1), judge_fold(replace(data, rows=scrambled), fold, 1)
    columns = ["lightgbm", "logistic", "rvol_1m", "base_rate", "thr"]
    pd.testing.assert_frame_equal(before.test[columns], after.test[columns])


def test_embargoed_sessions_influence_nothing():
    data = dataset()
    fold = walk_forward(data.sessions, folds=1, embargo=2)[0]
    used = {*fold.train, *fold.validation, *fold.test}
    unused = pd.to_datetime([day for day in data.sessions if day not in used])
    without = data.rows[~data.rows["session_date"].isin(unused)]
    assert len(unused) == 4
    pd.testing.assert_frame_equal(
        judge_fold(data, fold, 1).test, judge_fold(replace(data, rows=without), fold, 1).test
    )


def test_learning_from_all_bars_is_judged_on_candidates():
    data = dataset()
    data.rows["is_candidate"] = data.rows["symbol"] == "S1"
    trained = train(data, folds=2)
    assert set(trained.out_of_fold["symbol"]) == {"S1"}
    assert trained.metrics["folds"][0]["train_rows"] > 500


def test_training_twice_gives_the_same_model():
    first, second = train(dataset(), folds=1), train(dataset(), folds=1)
    assert pack_model(first.model) == pack_model(second.model)


def test_missing_and_constant_features_are_no_obstacle():
    data = dataset()
    data.rows["spread_est"] = np.nan
    data.rows["move_prev"] = 0.0
    assert np.isfinite(train(data, folds=2).metrics["contenders"]["logistic"]["auc"])


def test_one_outcome_only_says_so():
    data = dataset()
    data.rows["hit"] = 0.0
    with pytest.raises(TooLittleDataError, match="have hit = False"):
        train(data)


def test_hits_in_one_session_only_are_too_rare_to_judge():
    data = dataset()
    data.rows["hit"] = (data.rows["session_date"] == pd.Timestamp("2025-01-06")).astype(float)
    with pytest.raises(TooLittleDataError, match="too rare to judge a 30-minute model"):
        train(data)


def trained_with(auc_low: float, lead_low: float, definition_hash: str = "hash-1") -> Trained:
    data = dataset(sessions=1, rows=4)
    model = PromotedModel(list(FEATURES), definition_hash, 0.5, "run-2", 30, None)
    metrics = {
        "is_better_than_chance": auc_low > 0.5,
        "lead": {"logistic": {"fold_auc_95": (lead_low, 0.2)}},
    }
    return Trained(model, data, data.rows, metrics)


@pytest.fixture(scope="module")
def earlier_model() -> PromotedModel:
    return replace(train(dataset(), folds=1).model, run_id="run-earlier")


@pytest.mark.parametrize(
    ("trained", "promoted", "outcome"),
    [
        ((0.6, 0.01), True, "better than chance and than every baseline"),
        ((0.6, -0.01), True, "NOT SHOWN TO BEAT logistic"),
        ((0.6, float("nan")), True, "NOT SHOWN TO BEAT logistic"),
        ((0.4, 0.01), False, "run-earlier stays in use"),
        ((0.4, 0.01, "hash-2"), True, "no usable model before"),
    ],
)
def test_promotion_never_swaps_a_usable_model_for_chance(
    tmp_path, earlier_model, trained, promoted, outcome
):
    replace_file(tmp_path / model_name(30), pack_model(earlier_model))
    decision = decide_promotion(tmp_path, trained_with(*trained))
    assert decision[0] is promoted
    assert outcome in decision[1]


def test_damaged_promoted_model_is_replaced(tmp_path):
    (tmp_path / model_name(30)).write_bytes(b"damaged")
    assert decide_promotion(tmp_path, trained_with(0.4, 0))[0] is True


def test_command_leaves_models_stats_and_records(tmp_path):
    publish_snapshot(tmp_path, rows=120)
    result = make_train("--folds", "2")
    assert result.exit_code == 0, result.output
    assert {path.name for path in next((tmp_path / "models").iterdir()).iterdir()} == {
        "metrics.json",
        *(f"model_lgbm_{horizon}m.{end}" for horizon in (30, 60) for end in ("bin", "txt")),
        *(f"out_of_fold_{horizon}m.parquet" for horizon in (30, 60)),
    }
    for horizon in (30, 60):
        model = load_promoted(tmp_path, horizon)
        assert (tuple(model.features), model.definition_hash) == (FEATURES, "hash-1")
    with open_warehouse(tmp_path / "warehouse.duckdb") as connection:
        recorded = connection.execute(
            "select horizon_minutes, run_id, thr, session_count, row_count, is_promoted, "
            "metrics::json->>'$.contenders.lightgbm.rows' from raw.model_runs order by all"
        ).fetchall()
    assert recorded == [
        (horizon, model.run_id, load_promoted(tmp_path, horizon).thr, 20, 1200, True, "480.0")
        for horizon in (30, 60)
    ]
    assert json.loads((tmp_path / "symbol_stats.json").read_text()) == [
        {"symbol": "A", "sessions": 3, "mean_range": 0.5, "last_seen": None},
        {"symbol": "B", "sessions": 2, "mean_range": None, "last_seen": "2025-01-07"},
    ]
    for told in ("lightgbm", "base_rate", "Calibration", "precision", "promoted to"):
        assert told in result.output


def test_run_carries_what_repeats_it(tmp_path):
    publish_snapshot(tmp_path, rows=120)
    make_train("--folds", "2", "--horizons", "60")
    (run,) = (tmp_path / "models").iterdir()
    written = json.loads((run / "metrics.json").read_text())
    assert written["params"]["seed"] == PARAMS["seed"]
    assert written["options"]["horizons"] == [60]
    assert written["horizons"]["60"]["sessions"][0] == "2025-01-06"


def test_time_comes_from_the_clock(tmp_path, monkeypatch):
    monkeypatch.setenv("SIMULATED_CLOCK", "2025-11-05T12:00:00/0/0")
    publish_snapshot(tmp_path, rows=120)
    make_train("--folds", "1", "--horizons", "30")
    assert load_promoted(tmp_path, 30).run_id == "20251105T120000Z"


@pytest.mark.parametrize(
    ("snapshot", "arguments", "status", "message"),
    [
        (None, (), 1, "run make features first"),
        ({"change": "drop table marts.symbol_stats"}, (), 1, "symbol_stats"),
        ({}, ("--horizons", "45"), 1, "no labels for 45 minutes"),
        ({}, ("--horizons", "30,x"), 2, "'30,x' is not a list of minutes"),
        ({"sessions": 4, "rows": 300}, (), 2, "4 sessions have labelled rows"),
        ({"rows": 20}, (), 2, "200 labelled rows for 30 minutes, at least 500 needed"),
        (
            {"change": "update marts.training_rows set hit_30m = false, hit_60m = false"},
            (), 2, "all 2000 rows for 60 minutes have hit = False",
        ),
    ],
)  # fmt: skip
def test_impossible_training_is_explained_and_changes_nothing(
    tmp_path, snapshot, arguments, status, message
):
    if snapshot is not None:
        publish_snapshot(tmp_path, **snapshot)
    (tmp_path / model_name(30)).write_bytes(b"earlier")
    result = make_train(*arguments)
    assert result.exit_code == status
    assert message in result.output
    assert "Traceback" not in result.output
    assert (tmp_path / model_name(30)).read_bytes() == b"earlier"
    assert not (tmp_path / "models").exists()


def test_one_horizon_without_data_does_not_cost_the_other(tmp_path):
    change = "update marts.training_rows set is_complete_60m = false"
    publish_snapshot(tmp_path, rows=120, change=change)
    result = make_train("--folds", "1")
    assert result.exit_code == 2
    assert load_promoted(tmp_path, 30) is not None
    assert load_promoted(tmp_path, 60) is None


def test_module_runs_as_a_command(tmp_path):
    command = [sys.executable, "-m", "ml.train", "--horizons", "30"]
    environment = {**os.environ, "DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
