"""The columns of marts.features_1m and labels_1m, from rows that have what they are made of.

A row is a bar with its symbol, session_date and session_segment, minutes_since_open and is_ended.
What is missing is null.
"""

from __future__ import annotations

import polars as pl

SEGMENTS = pl.Enum(("PRE", "RTH", "POST"))
WINDOWS = (30, 60)
KEY = ("symbol", "session_date", "session_segment", "bar_at")


def ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Return the quotient; null where the denominator is 0."""
    return pl.when(denominator != 0).then(numerator / denominator)


def features_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of marts.features_1m.

    Rows have sums and the extreme of their segment so far (volume_so_far, dollar_volume_so_far,
    typical_dollars_so_far, high_before), usual_volume and usual_volume_so_far, base_high, base_low,
    previous_close, spread_est, squared_returns, session_open, last_close, atr5_pct, pump_days_60d.
    """
    c = pl.col
    vwap = ratio(c("typical_dollars_so_far"), c("volume_so_far"))
    base_range = c("base_high") / c("base_low") - 1
    is_pre = c("session_segment") == "PRE"
    floats = {
        "rvol_1m": ratio(c("volume"), c("usual_volume")),
        "rvol_day": ratio(c("volume_so_far"), c("usual_volume_so_far")),
        "base_range": base_range,
        "move_prev": c("close") / c("previous_close") - 1,
        "spread_est": c("spread_est"),
        "vwap": vwap,
        "vwap_distance": c("close") / vwap - 1,
        "gap": pl.when(~is_pre).then(c("session_open") / c("last_close") - 1),
        "change_from_prev_close": c("close") / c("last_close") - 1,
        "prior_high_gain": c("high_before") / c("last_close") - 1,
        "range_atr": ratio(base_range, c("atr5_pct")),
        "log_dollar_volume": (c("dollar_volume_so_far") + 1).log(),
        "realized_vol_30m": c("squared_returns").sqrt(),
    }
    return (
        rows.lazy()
        .select(
            *KEY,
            (c("bar_at") + pl.duration(minutes=1)).alias("available_at"),
            *("open", "high", "low", "close", "volume"),
            *("atr5_pct", "pump_days_60d", "minutes_since_open"),
            **floats,
        )
        .collect()
    )


def labels_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of marts.labels_1m, for sessions that have ended.

    Rows have entry_minute and entry_price, and of each horizon of N minutes is_complete_Nm, its
    extremes high_Nm and low_Nm, and whether hit_Nm and hit_Nm_net.
    """
    c = pl.col
    has_entry = c("entry_price").is_not_null()
    minutes_ahead = c("entry_minute") - c("minutes_since_open")
    columns: list[pl.Expr] = []
    for minutes in WINDOWS:
        is_complete = c(f"is_complete_{minutes}m")
        best = c(f"high_{minutes}m") / c("entry_price") - 1
        worst = c(f"low_{minutes}m") / c("entry_price") - 1
        columns += [
            is_complete,
            pl.when(is_complete).then(best.clip(lower_bound=0)).alias(f"mfe_{minutes}m"),
            pl.when(is_complete).then(worst.clip(upper_bound=0)).alias(f"mae_{minutes}m"),
            c(f"hit_{minutes}m"),
            c(f"hit_{minutes}m_net"),
        ]
    entry_at = c("bar_at") + pl.duration(minutes=minutes_ahead)
    return (
        rows.lazy()
        .filter("is_ended")
        .select(
            *KEY,
            *columns,
            pl.when(has_entry).then(entry_at).alias("entry_at"),
            "entry_price",
        )
        .collect()
    )
