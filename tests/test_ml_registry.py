"""Model files: round trip, damage, promotion."""

from __future__ import annotations

import json
import zipfile
from datetime import datetime

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from ml.registry import (
    MissingFeatureError,
    ModelFileError,
    PromotedModel,
    load_model,
    load_promoted,
    model_name,
    new_run_id,
    pack_model,
    promote,
    replace_file,
    save_run,
    to_json,
)

FEATURES = ["rvol_1m", "base_range"]


@pytest.fixture(scope="module")
def model() -> PromotedModel:
    random = np.random.default_rng(0)
    inputs = random.random((400, 2))
    params = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    data = lgb.Dataset(inputs, inputs[:, 0] > 0.5, feature_name=FEATURES)
    return PromotedModel(FEATURES, "hash-1", 0.25, "run-1", 30, lgb.train(params, data, 5))


@pytest.fixture
def promoted(tmp_path, model):
    folder = save_run(tmp_path / "models", "run-1", {model_name(30): pack_model(model)})
    promote(tmp_path, folder / model_name(30))
    return tmp_path / "model_lgbm_30m.bin"


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"symbol": ["A", "B"], "base_range": [0.1, None], "rvol_1m": [0.9, 0.1], "vwap": [1, 2]}
    )


def test_promoted_model_is_loaded_whole(promoted, model):
    loaded = load_promoted(promoted.parent, 30)
    assert loaded is not None
    assert (loaded.features, loaded.definition_hash, loaded.thr, loaded.run_id) == (
        FEATURES, "hash-1", 0.25, "run-1"
    )  # fmt: skip


def test_loaded_model_scores_as_the_trained_one(promoted, model, frame):
    loaded = load_promoted(promoted.parent, 30)
    assert loaded.predict(frame).tolist() == model.predict(frame).tolist()


def test_columns_are_taken_by_name_and_nulls_as_missing(model, frame):
    scores = model.predict(frame.astype({"base_range": "Float64"}))
    assert scores.tolist() == model.booster.predict([[0.9, 0.1], [0.1, np.nan]]).tolist()
    assert scores[0] > scores[1]


def test_no_rows_give_no_scores(model, frame):
    assert model.predict(frame[:0]).tolist() == []


def test_missing_column_is_named(model, frame):
    with pytest.raises(MissingFeatureError, match="run-1 needs the columns base_range"):
        model.predict(frame.drop(columns="base_range"))


def test_nothing_promoted_is_none(tmp_path):
    assert load_promoted(tmp_path, 60) is None


def test_same_model_gives_the_same_file(model):
    assert pack_model(model) == pack_model(model)


def test_any_damaged_byte_is_noticed(promoted):
    content = promoted.read_bytes()
    for position in range(0, len(content), 97):
        broken = bytearray(content)
        broken[position] ^= 0xFF
        promoted.write_bytes(broken)
        try:
            loaded = load_promoted(promoted.parent, 30)
        except ModelFileError:
            continue
        assert pack_model(loaded) == content  # only a byte nobody reads may pass


@pytest.mark.parametrize("size", [0, 10, 500])
def test_cut_file_is_an_error_naming_it(promoted, size):
    promoted.write_bytes(promoted.read_bytes()[:size])
    with pytest.raises(ModelFileError, match=r"model_lgbm_30m\.bin is not a usable model file"):
        load_promoted(promoted.parent, 30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other-9"}, "its format is other-9"),
        ({"features": ["rvol_1m", "gap"]}, "disagree on the features"),
        ({"thr": None}, "not a usable model file"),
        ({"horizon_minutes": 60}, "holds a model for 60 minutes"),
    ],
)
def test_wrong_metadata_is_refused(promoted, change, message):
    with zipfile.ZipFile(promoted) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(content["metadata.json"]) | change
    with zipfile.ZipFile(promoted, "w") as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("model.txt", content["model.txt"])
    with pytest.raises(ModelFileError, match=message):
        load_promoted(promoted.parent, 30)


def test_model_of_other_trees_is_refused(promoted):
    with zipfile.ZipFile(promoted) as archive:
        metadata = archive.read("metadata.json")
    with zipfile.ZipFile(promoted, "w") as archive:
        archive.writestr("metadata.json", metadata)
        archive.writestr("model.txt", "no trees")
    with pytest.raises(ModelFileError, match="run make train"):
        load_model(promoted)


def test_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.bin"
    replace_file(path, b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        replace_file(path, b"new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_second_run_of_a_second_gets_its_own_name(tmp_path):
    at = datetime(2025, 11, 5, 12, 34, 56, 789)
    for name in ("20251105T123456Z", "20251105T123456Z-2", "20251105T123456Z-3"):
        assert new_run_id(tmp_path, at) == name
        save_run(tmp_path, name, {})


def test_json_has_null_for_nan():
    assert json.loads(to_json({"a": [float("nan"), 1.5], "b": datetime(2025, 1, 2)})) == {
        "a": [None, 1.5], "b": "2025-01-02T00:00:00"
    }  # fmt: skip
