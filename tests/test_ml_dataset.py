"""What is read from the snapshot, and how sessions are split."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pandas as pd
import pytest

from ml.dataset import (
    Dataset,
    Fold,
    SnapshotError,
    TooLittleDataError,
    open_snapshot_path,
    read_dataset,
    reading,
    split,
    walk_forward,
)
from tests.ml_fixture import publish_snapshot


def sessions(count: int) -> list[date]:
    return [date(2025, 1, 1) + timedelta(days=number) for number in range(count)]


def read(path, horizon=30, **options) -> Dataset:
    with duckdb.connect(str(path), read_only=True) as connection, reading(path):
        return read_dataset(connection, horizon, **options)


@pytest.mark.parametrize(("all_bars", "rows"), [(False, 30), (True, 60)])
def test_candidates_only_unless_all_bars(tmp_path, all_bars, rows):
    path = publish_snapshot(tmp_path, sessions=3, rows=20)
    assert len(read(path, all_bars=all_bars).rows) == rows


def test_features_come_in_definition_order_without_vwap(tmp_path):
    features = read(publish_snapshot(tmp_path, sessions=1, rows=4)).features
    assert features.names == ("rvol_1m", "base_range", "move_prev", "spread_est")
    assert features.definition_hash == "hash-1"


def test_added_feature_needs_no_code(tmp_path):
    change = """
        alter table marts.training_rows add column day_range double;
        insert into marts.feature_definitions values ('day_range', 9, true, 'hash-1');
    """
    dataset = read(publish_snapshot(tmp_path, sessions=1, rows=4, change=change))
    assert dataset.features.names[-1] == "day_range"
    assert dataset.rows["day_range"].isna().all()


def test_incomplete_horizons_are_left_out(tmp_path):
    change = """
        update marts.training_rows set is_complete_30m = false where symbol = 'S0';
        update marts.training_rows set hit_30m = null where symbol = 'S1';
    """
    path = publish_snapshot(tmp_path, sessions=2, rows=70, change=change)
    assert set(read(path).rows["symbol"]) == {"S2", "S3", "S4", "S5", "S6"}
    assert set(read(path, 60).rows["symbol"]) >= {"S0", "S1"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("drop table marts.training_rows", "make features .*training_rows"),
        ("alter table marts.training_rows drop column move_prev", "lacks the features move_prev"),
        ("delete from marts.feature_definitions", "0 model inputs"),
        ("update marts.feature_definitions set definition_hash = feature", "4 definition hashes"),
        ("update marts.training_rows set move_prev = 'inf'", "move_prev is infinite in 4 rows"),
    ],
)
def test_broken_snapshot_is_explained(tmp_path, change, message):
    path = publish_snapshot(tmp_path, sessions=2, rows=4, change=change)
    with pytest.raises(SnapshotError, match=message):
        read(path)


def test_unknown_horizon_names_those_there_are(tmp_path):
    path = publish_snapshot(tmp_path, sessions=1, rows=4)
    with pytest.raises(SnapshotError, match=r"no labels for 45 minutes .*hit_30m"):
        read(path, 45)


def test_missing_snapshot_says_make_features(tmp_path):
    with pytest.raises(SnapshotError, match="run make features"):
        open_snapshot_path(tmp_path / "published" / "warehouse.duckdb")


def test_folds_expand_and_test_each_late_session_once():
    days = sessions(12)
    folds = walk_forward(days, folds=3, embargo=1)
    assert folds == [
        Fold(tuple(days[:2]), tuple(days[3:5]), tuple(days[6:8])),
        Fold(tuple(days[:4]), tuple(days[5:7]), tuple(days[8:10])),
        Fold(tuple(days[:6]), tuple(days[7:9]), tuple(days[10:12])),
    ]


@pytest.mark.parametrize("embargo", [0, 1, 3])
@pytest.mark.parametrize("count", [9, 20, 121])
@pytest.mark.parametrize("folds", [1, 5])
def test_parts_follow_each_other_with_the_embargo_between(count, folds, embargo):
    days = sessions(count)
    for fold in walk_forward(days, folds, embargo):
        assert fold.train[0] == days[0]
        assert days.index(fold.validation[0]) - days.index(fold.train[-1]) == embargo + 1
        assert days.index(fold.test[0]) - days.index(fold.validation[-1]) == embargo + 1


def test_few_sessions_give_fewer_folds():
    assert len(walk_forward(sessions(6), folds=5, embargo=1)) == 2


def test_too_few_sessions_say_how_many_are_needed():
    with pytest.raises(TooLittleDataError, match=r"^4 sessions .* at least 5"):
        walk_forward(sessions(4), folds=5, embargo=1)


def test_rows_whose_outcome_reaches_into_the_next_part_are_purged():
    days = pd.date_range("2025-01-01", periods=3)
    rows = pd.DataFrame(
        {
            "session_date": days.repeat(2),
            "bar_at": [day + pd.Timedelta(hours=hour) for day in days for hour in (10, 15)],
        }
    )
    rows["label_end_at"] = rows["bar_at"] + pd.Timedelta(hours=20)
    first, second, third = (day.date() for day in days)
    train, validation, test = split(rows, Fold((first,), (second,), (third,)))
    assert list(train["bar_at"]) == [pd.Timestamp("2025-01-01 10:00")]
    assert list(validation["bar_at"]) == [pd.Timestamp("2025-01-02 10:00")]
    assert len(test) == 2
