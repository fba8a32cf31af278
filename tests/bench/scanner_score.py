"""What a score selects: `python -m tests.bench.scanner_score SNAPSHOT [SCORE.csv ...]`.

Over every session of the snapshot, among the symbols that pass the funnel up to the score: how many
score 70 or more, and how often those (and the best 20) then reach a high of 8 % or more over the
last close, against the share of all that pass. No score sees the session that it is judged by.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pandas as pd
from sklearn.metrics import roc_auc_score

from ingest.settings import ROOT

PASSING = """
select
    inputs.session_date, inputs.atr5_pct, inputs.pump_days_60d, inputs.relative_volume,
    inputs.log10_dollar_volume, scores.edge_21d,
    daily.high / inputs.last_close - 1 >= 0.08 as has_run
from intermediate.int_scanner_inputs as inputs
inner join intermediate.int_scanner_scores as scores using (symbol, session_date)
inner join intermediate.int_daily_series as daily using (symbol, session_date)
where inputs.failed_step is null
"""


def points(rows: pd.DataFrame, score: pd.DataFrame) -> pd.Series:
    """Return the score of each row, as int_scanner_points defines it."""
    total = pd.Series(0.0, index=rows.index)
    for part in score.itertuples():
        share = (rows[part.input_column] - part.value_at_zero) / (
            part.value_at_full - part.value_at_zero
        )
        total += part.points * share.clip(0, 1).fillna(0)
    return total


def main(snapshot: str, *scores: str) -> None:
    with duckdb.connect(snapshot, read_only=True) as connection:
        rows = connection.execute(PASSING).df()
    sessions = rows["session_date"].unique()
    print(f"{len(rows)} rows, {len(sessions)} sessions, {rows['has_run'].mean():.3f} of all run")
    for path in scores or (str(ROOT / "dbt_project/seeds/scanner_score.csv"),):
        total = points(rows, pd.read_csv(path))
        chosen = rows[total >= 70]
        daily = chosen.groupby("session_date").size().reindex(sessions, fill_value=0)
        best = rows.assign(total=total).sort_values("total", ascending=False)
        best = best.groupby("session_date").head(20)
        low, median, high = daily.quantile([0.1, 0.5, 0.9])
        print(
            f"{Path(path).name}: {low:.0f}/{median:.0f}/{high:.0f} names a session (10/50/90 %), "
            f"run {chosen['has_run'].mean():.3f}, best 20 {best['has_run'].mean():.3f}, "
            f"AUC {roc_auc_score(rows['has_run'], total):.3f}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
