"""A published snapshot made by hand, with labels that follow a known rule."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from ml.evaluate import Scored

FEATURES = ("rvol_1m", "base_range", "move_prev", "spread_est")
DEFINITION_HASH = "hash-1"

OTHER_MARTS = """
create schema marts;

create table marts.feature_definitions as
select feature, ordinal, is_model_input, 'hash-1' as definition_hash
from (values
    ('base_range', 2, true), ('rvol_1m', 1, true), ('vwap', 5, false),
    ('move_prev', 3, true), ('spread_est', 4, true)
) as defined (feature, ordinal, is_model_input);

create table marts.symbol_stats as
select 'B' as symbol, 2 as sessions, null::double as mean_range, date '2025-01-07' as last_seen
union all select 'A', 3, 0.5, null;
"""


def training_rows(sessions: int, rows: int, *, planted: bool, seed: int = 1) -> pd.DataFrame:
    """Return marts.training_rows: `rows` per session, every other one a candidate.

    Planted: base_range and move_prev together tell hits from misses (60 % against 10 %), rvol_1m is
    a weak hint. Else a quarter of the rows are hits, whatever their features.
    """
    random = np.random.default_rng(seed)
    count = sessions * rows
    session, row = np.divmod(np.arange(count), rows)
    session_date = pd.Timestamp("2025-01-06") + pd.to_timedelta(session, unit="D")
    bar_at = (
        session_date + pd.Timedelta(hours=14.5) + pd.to_timedelta(row * 300 // rows, unit="min")
    )
    uniform = random.random((5, count))
    is_pattern = (uniform[1] < 0.5) == (uniform[2] < 0.5)
    chance = np.where(is_pattern, 0.5 + 0.2 * uniform[0], 0.2 * uniform[0])
    hit = uniform[4] < (chance if planted else 0.25)
    return pd.DataFrame(
        {
            "symbol": [f"S{number % 7}" for number in row],
            "session_date": session_date,
            "session_segment": "RTH",
            "bar_at": bar_at,
            "available_at": bar_at + pd.Timedelta(minutes=1),
            "rvol_1m": uniform[0] * 10,
            "base_range": uniform[1] * 0.1,
            "move_prev": uniform[2] * 0.1,
            "spread_est": np.where(uniform[3] < 0.9, uniform[3] * 0.02, np.nan),
            "vwap": 1.0,
            "entry_at": bar_at + pd.Timedelta(minutes=1),
            "is_complete_30m": True,
            "hit_30m": hit,
            "hit_30m_net": hit & (uniform[3] < 0.8),
            "is_complete_60m": True,
            "hit_60m": hit,
            "hit_60m_net": hit & (uniform[3] < 0.8),
            "is_candidate": np.arange(count) % 2 == 0,
        }
    )


def publish_snapshot(
    data_dir: Path, *, sessions: int = 20, rows: int = 200, planted: bool = True, change: str = ""
) -> Path:
    """Write data_dir/published/warehouse.duckdb (a link to a version) and return its path.

    `change` is SQL to run on the snapshot afterwards.
    """
    folder = data_dir / "published"
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / "warehouse_1.duckdb"
    with duckdb.connect(str(version)) as connection:
        connection.execute(OTHER_MARTS)
        connection.register("rows", training_rows(sessions, rows, planted=planted))
        connection.execute(
            "create table marts.training_rows as "
            "select * replace (session_date::date as session_date) from rows"
        )
        connection.execute(change)
    link = folder / "warehouse.duckdb"
    link.symlink_to(version.name)
    return link


def scored(sessions, hits, scores, buckets=None, folds=None) -> Scored:
    """Return literal rows as Scored; bucket and fold are 0 unless given."""
    return Scored(
        np.array(sessions),
        np.array(buckets if buckets is not None else [0] * len(hits)),
        np.array(hits, dtype=float),
        np.array(scores, dtype=float),
        np.array(folds if folds is not None else [0] * len(hits)),
    )


def noisy_scores() -> Scored:
    """Return 600 rows of 8 sessions in 2 folds, with 99 distinct scores that say something."""
    random = np.random.default_rng(3)
    hits = random.random(600) < 0.3
    scores = np.round(np.clip(0.3 * hits + 0.6 * random.random(600), 0.01, 0.99), 2)
    sessions = random.integers(0, 8, 600)
    return scored(sessions, hits, scores, folds=sessions // 4)
