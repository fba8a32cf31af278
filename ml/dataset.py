"""Training rows as the published snapshot has them, and walk-forward splits by session.

Which columns are features is said by marts.feature_definitions, nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

KEYS = ("symbol", "session_date", "session_segment", "bar_at")


class SnapshotError(RuntimeError):
    """The published snapshot is missing or lacks what training reads."""


class TooLittleDataError(RuntimeError):
    """There are too few rows, sessions or classes to train on."""


@dataclass(frozen=True)
class FeatureList:
    """The model inputs, in the order of their definition, and the hash of the SQL behind them."""

    names: tuple[str, ...]
    definition_hash: str


@dataclass(frozen=True)
class Dataset:
    """The labelled rows of one horizon, ordered by session, bar and symbol.

    `rows` has the key columns, `is_candidate`, `label_end_at` (UTC; when the outcome is known),
    `hit` (0 or 1), `hit_net` (after costs; NaN without a spread) and one float column per feature
    (NaN: missing).
    """

    features: FeatureList
    horizon_minutes: int
    rows: pd.DataFrame

    @property
    def sessions(self) -> list[date]:
        """The sessions that have rows, in order."""
        return [stamp.date() for stamp in pd.to_datetime(self.rows["session_date"].unique())]


@dataclass(frozen=True)
class Fold:
    """Sessions to learn from, to stop early and choose thr on, to be judged on: in that order."""

    train: tuple[date, ...]
    validation: tuple[date, ...]
    test: tuple[date, ...]


def read_features(connection: duckdb.DuckDBPyConnection) -> FeatureList:
    """Return the model inputs as marts.feature_definitions lists them.

    Raises SnapshotError where there are none, or more than one definition hash.
    """
    defined = connection.execute(
        "select feature, definition_hash from marts.feature_definitions "
        "where is_model_input order by ordinal"
    ).fetchall()
    hashes = {definition_hash for _, definition_hash in defined}
    if len(hashes) != 1 or None in hashes:
        raise SnapshotError(
            f"marts.feature_definitions has {len(defined)} model inputs and {len(hashes)} "
            "definition hashes, expected one hash: run make features"
        )
    return FeatureList(tuple(feature for feature, _ in defined), hashes.pop())


def read_dataset(
    connection: duckdb.DuckDBPyConnection, horizon_minutes: int, *, all_bars: bool = False
) -> Dataset:
    """Return the labelled rows for `horizon_minutes`: candidates only, unless `all_bars`.

    Raises SnapshotError for a horizon without labels and for infinite feature values.
    """
    features = read_features(connection)
    _check_columns(connection, features, horizon_minutes)
    label = f"{horizon_minutes}m"
    inputs = ", ".join(f'"{name}"::double as "{name}"' for name in features.names)
    rows = connection.execute(
        f"""
        select
            {", ".join(KEYS)},
            is_candidate,
            entry_at + to_minutes($horizon) as label_end_at,
            hit_{label}::double as hit,
            hit_{label}_net::double as hit_net,
            {inputs}
        from marts.training_rows
        where is_complete_{label} and hit_{label} is not null and ($all_bars or is_candidate)
        order by session_date, bar_at, symbol
        """,
        {"horizon": horizon_minutes, "all_bars": all_bars},
    ).df()
    _check_finite(rows, features)
    return Dataset(features, horizon_minutes, rows)


def open_snapshot_path(published: Path) -> Path:
    """Return the version that `published` links to, so that a later publish changes nothing here.

    Raises SnapshotError where there is none.
    """
    if not published.exists():
        raise SnapshotError(f"{published} does not exist: run make features first")
    return published.resolve()


@contextmanager
def reading(published: Path) -> Iterator[None]:
    """Turn what DuckDB says of missing tables and columns into a SnapshotError."""
    try:
        yield
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise SnapshotError(
            f"{published} does not hold what training reads: run make features "
            f"({str(error).splitlines()[0]})"
        ) from error


def walk_forward(sessions: Sequence[date], folds: int, embargo: int) -> list[Fold]:
    """Cut ordered `sessions` into at most `folds` expanding folds; nothing is ever random.

    The last sessions are cut into test blocks of equal length. Before each lies a validation block
    of that length, and before that everything earlier to train on; `embargo` sessions on either
    side of the validation block are used by nobody. With few sessions there are fewer folds.
    Raises TooLittleDataError where not even one fits.
    """
    usable = len(sessions) - 2 * embargo
    folds = min(folds, usable - 2)
    if folds < 1:
        raise TooLittleDataError(
            f"{len(sessions)} sessions have labelled rows, a walk-forward split with an embargo "
            f"of {embargo} needs at least {3 + 2 * embargo}: ingest more sessions (make ingest)"
        )
    block = usable // (folds + 2)
    cuts = [len(sessions) - block * (folds - index) for index in range(folds)]
    return [_fold(sessions, test_from, block, embargo) for test_from in cuts]


def _fold(sessions: Sequence[date], test_from: int, block: int, embargo: int) -> Fold:
    validation_to = test_from - embargo
    validation_from = validation_to - block
    return Fold(
        train=tuple(sessions[: validation_from - embargo]),
        validation=tuple(sessions[validation_from:validation_to]),
        test=tuple(sessions[test_from : test_from + block]),
    )


def split(rows: pd.DataFrame, fold: Fold) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the rows of `fold`: train, validation, test.

    Purged: a row whose outcome is known only after the next part's first bar is left out. As labels
    end within their session this removes nothing, until somebody changes the labels.
    """
    train, validation, test = (
        rows[rows["session_date"].isin(pd.to_datetime(list(part)))]
        for part in (fold.train, fold.validation, fold.test)
    )
    train = train[train["label_end_at"] <= validation["bar_at"].min()]
    validation = validation[validation["label_end_at"] <= test["bar_at"].min()]
    return train, validation, test


def _check_columns(
    connection: duckdb.DuckDBPyConnection, features: FeatureList, horizon_minutes: int
) -> None:
    described = connection.execute("describe marts.training_rows").fetchall()
    present = {name for name, *_ in described}
    if f"hit_{horizon_minutes}m" not in present:
        labelled = sorted(name for name in present if name.startswith("hit_"))
        raise SnapshotError(
            f"marts.training_rows has no labels for {horizon_minutes} minutes (it has "
            f"{', '.join(labelled)}): choose --horizons, or change the var label_windows"
        )
    if missing := [name for name in features.names if name not in present]:
        raise SnapshotError(
            f"marts.training_rows lacks the features {', '.join(missing)} that "
            "marts.feature_definitions lists: run make features"
        )


def _check_finite(rows: pd.DataFrame, features: FeatureList) -> None:
    infinite = np.isinf(rows[list(features.names)].to_numpy()).sum(axis=0)
    if infinite.any():
        worst = features.names[int(infinite.argmax())]
        raise SnapshotError(
            f"feature {worst} is infinite in {infinite.max()} rows: a division by zero must be "
            "null, correct its SQL in marts.features_1m"
        )
