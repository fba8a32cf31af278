"""marts.features_1m and labels_1m in Polars as one writes it: joins, group by, rolling and over.

`python -m tests.bench.polars_rolling BARS_DB OUT_DIR` computes what polars_features does, from the
same inputs, by the functions that Polars has for it and without a grid: the peer that says what
comparable work on a query costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import typer

from tests.bench.bars_io import Frames, Inputs, report
from tests.bench.mart_columns import SEGMENTS, WINDOWS, features_of, labels_of
from tests.bench.polars_edge import edge_products, edge_terms, spread
from tests.bench.polars_features import (
    BACK,
    BASELINE,
    DOWN,
    MAX_WAIT,
    UP,
    bar_before,
    with_baseline_counts,
)

APART = 2_000
"""Between the positions of one minute in two segments: no window reaches from one into another."""

c = pl.col


def segment_bars(bars: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """Return the bars by symbol and time, with their segment and their position among all."""
    is_first = pl.any_horizontal(
        c(name) != c(name).shift() for name in ("symbol", "session_date", "session_segment")
    ).fill_null(True)
    return (
        bars.lazy()
        .join(inputs.calendar.lazy(), on="session_date")
        .filter(c("bar_at") >= c("pre_open_at"), c("bar_at") < c("post_close_at"))
        .with_columns(
            minutes_since_open=(c("bar_at") - c("open_at")).dt.total_minutes().cast(pl.Int32),
            session_segment=pl.when(c("bar_at") < c("open_at"))
            .then(pl.lit("PRE"))
            .when(c("bar_at") < c("close_at"))
            .then(pl.lit("RTH"))
            .otherwise(pl.lit("POST"))
            .cast(SEGMENTS),
            is_ended=c("post_close_at") <= inputs.newest_landing,
        )
        .sort(c("symbol").to_physical(), "bar_at")
        .with_columns(segment=is_first.cum_sum().cast(pl.Int64))
        .with_columns(position=c("segment") * APART + c("minutes_since_open"))
        .collect()
    )


# ---- Windows


def with_windows(bars: pl.DataFrame) -> pl.DataFrame:
    """Add sums and high of the segment so far, and what the half hour before holds."""
    typical_dollars = (c("high") + c("low") + c("close")) / 3 * c("volume")
    squared_return = (c("close") / c("previous_close")).log() ** 2
    base = bars.rolling("position", period=f"{BACK}i", offset=f"-{BACK}i", closed="left").agg(
        base_high=c("high").max(), base_low=c("low").min(), base_count=pl.len()
    )
    returns = (
        bars.select("position", squared_return=squared_return)
        .rolling("position", period=f"{BACK + 1}i")
        .agg(squared_returns=c("squared_return").sum(), return_count=c("squared_return").count())
    )
    return bars.hstack([*base.drop("position"), *returns.drop("position")]).with_columns(
        volume_so_far=c("volume").cum_sum().over("segment"),
        dollar_volume_so_far=(c("close") * c("volume")).cum_sum().over("segment"),
        typical_dollars_so_far=typical_dollars.cum_sum().over("segment"),
        high_before=c("high").cum_max().shift().over("segment"),
        base_high=pl.when(c("base_count") >= 10).then("base_high"),
        squared_returns=pl.when(c("return_count") >= 10).then("squared_returns"),
    )


def with_spread(bars: pl.DataFrame) -> pl.DataFrame:
    """Add EDGE over the hour before the latest 5-minute mark."""
    bucket = c("position") // 5
    sums = (
        edge_products(edge_terms(bars))
        .with_columns(bars.select(bucket=bucket))
        .group_by("bucket", maintain_order=True)
        .agg(pl.all().sum())
    )
    marks_after = (sums.with_columns(mark=c("bucket") + later) for later in range(1, 13))
    hours = pl.concat(marks_after).drop("bucket").group_by("mark").agg(pl.all().sum())
    spreads = hours.select("mark", spread_est=spread(hours.drop("mark")))
    mark = (c("position") + 1) // 5
    return bars.with_columns(mark=mark).join(spreads, on="mark", how="left", maintain_order="left")


# ---- Usual volume


def symbol_sessions(bars: pl.DataFrame) -> pl.DataFrame:
    """Return one row per symbol and session, with its place among the baseline sessions."""
    has_rth_bar = (c("session_segment") == "RTH").any()
    return (
        bars.group_by("symbol", "session_date", maintain_order=True)
        .agg(
            c("pre_open_at", "open_at", "close_at", "post_close_at", "is_half_day").first(),
            is_baseline=has_rth_bar & ~c("is_half_day").first(),
        )
        .pipe(with_baseline_counts)
    )


def usual_volumes(bars: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Return the usual volumes of every minute of every session that has enough sessions before."""
    minute = "minutes_since_open"
    segment = ["symbol", "session_date", "session_segment"]
    baseline = sessions.filter("is_baseline").select("symbol", "session_date", "known")
    minutes = bars.select("session_segment", minute).unique()
    sums = (
        baseline.join(minutes, how="cross")
        .join(
            bars.select(*segment, minute, "volume"),
            on=[*segment, minute],
            how="left",
            maintain_order="left",
        )
        .select(
            *("symbol", "session_segment", minute),
            known=c("known") + 1,
            volume=c("volume")
            .fill_null(0.0)
            .rolling_sum(BASELINE, min_samples=1)
            .over("symbol", "session_segment", minute),
        )
    )

    def minutes_until(end: str) -> pl.Expr:
        return (c(end) - c("open_at")).dt.total_minutes().cast(pl.Int32)

    bounds = {
        "PRE": ("pre_open_at", "open_at"),
        "RTH": ("open_at", "close_at"),
        "POST": ("close_at", "post_close_at"),
    }
    wanted = sessions.filter(c("baseline_count").is_not_null())
    spans = pl.concat(
        wanted.select(
            *("symbol", "session_date", "known", "baseline_count"),
            session_segment=pl.lit(name, SEGMENTS),
            minutes_since_open=pl.int_ranges(
                minutes_until(start), minutes_until(end), dtype=pl.Int32
            ),
        )
        for name, (start, end) in bounds.items()
    )
    return (
        spans.explode(minute)
        .join(
            sums,
            on=["symbol", "session_segment", "known", minute],
            how="left",
            maintain_order="left",
        )
        .with_columns(c("volume").fill_null(0.0))
        .select(
            *("symbol", "session_date", minute),
            usual_volume=c("volume").rolling_mean(5, center=True, min_samples=1).over(segment)
            / c("baseline_count"),
            usual_volume_so_far=c("volume").cum_sum().over(segment) / c("baseline_count"),
        )
    )


# ---- Labels


def with_entries(bars: pl.DataFrame) -> pl.DataFrame:
    """Add the entry at the next bar's open, and the extremes of the horizons from there."""
    extremes = []
    for minutes in WINDOWS:
        horizon = bars.rolling("position", period=f"{minutes}i", offset="0i", closed="left").agg(
            c("high").max().alias(f"high_{minutes}m"), c("low").min().alias(f"low_{minutes}m")
        )
        extremes += horizon.drop("position").get_columns()
    segment_end = (
        pl.when(c("session_segment") == "PRE")
        .then("open_at")
        .when(c("session_segment") == "RTH")
        .then("close_at")
        .otherwise("post_close_at")
    )
    has_entry = (c("position").shift(-1) - c("position") <= MAX_WAIT).fill_null(False)
    entry_at = c("bar_at").shift(-1)
    half = c("spread_est") / 2
    return bars.hstack(extremes).with_columns(
        *(c(extreme.name).shift(-1) for extreme in extremes),
        *(
            (has_entry & (entry_at + pl.duration(minutes=minutes) <= segment_end))
            .fill_null(False)
            .alias(f"is_complete_{minutes}m")
            for minutes in WINDOWS
        ),
        entry_minute=c("minutes_since_open").shift(-1),
        entry_position=c("position").shift(-1),
        entry_price=pl.when(has_entry).then(c("open").shift(-1)),
        cost_factor=(1 + half) / (1 - half),
    )


def with_hit(bars: pl.DataFrame, minutes: int, name: str, price: pl.Expr) -> pl.DataFrame:
    """Add as `name` whether an entry at `price` sees the target before the stop."""
    has_label = c(f"is_complete_{minutes}m") & price.is_not_null()
    is_up = c(f"high_{minutes}m") >= price * UP
    is_down = c(f"low_{minutes}m") <= price * DOWN
    ahead = pl.int_ranges("entry_position", c("entry_position") + minutes)
    first_touches = (
        bars.filter(has_label & is_up & is_down)
        .select(entry="position", target=price * UP, stop=price * DOWN, position=ahead)
        .explode("position")
        .join(bars.select("position", "high", "low"), on="position", maintain_order="left")
        .filter((c("high") >= c("target")) | (c("low") <= c("stop")))
        .group_by("entry")
        .agg(is_target=c("low").first() > c("stop").first())
    )
    hit = bars.select(
        "position", hit=pl.when(has_label).then(is_up), is_undecided=is_up & is_down
    ).join(first_touches, left_on="position", right_on="entry", how="left", maintain_order="left")
    return bars.with_columns(
        hit.select(
            pl.when("is_undecided").then(c("is_target") & c("hit")).otherwise("hit").alias(name)
        )
    )


# ---- The whole program


def marts(bars: pl.DataFrame, inputs: Inputs) -> Iterator[tuple[str, Frames]]:
    """Yield the rows of both marts for some symbols' bars."""
    bars = segment_bars(bars, inputs)
    sessions = symbol_sessions(bars)
    opens = (
        bars.filter(c("session_segment") == "RTH")
        .group_by("symbol", "session_date", maintain_order=True)
        .agg(session_open=c("open").first())
    )
    daily = inputs.daily_state.rename({"previous_close": "last_close"})
    rows = with_spread(with_windows(bars.with_columns(bar_before())))
    for facts in (daily, opens, usual_volumes(bars, sessions)):
        keys = [name for name in ("symbol", "session_date", "minutes_since_open") if name in facts]
        rows = rows.join(facts, on=keys, how="left", maintain_order="left")
    entries = with_entries(rows)
    for minutes in WINDOWS:
        net_price = c("entry_price") * c("cost_factor")
        entries = with_hit(entries, minutes, f"hit_{minutes}m", c("entry_price"))
        entries = with_hit(entries, minutes, f"hit_{minutes}m_net", net_price)
    yield "all", {"features": features_of(rows), "labels": labels_of(entries)}


def main(bars_db: Path, out_dir: Path, symbols_per_batch: int = 5) -> None:
    """Compute both marts from the bars of BARS_DB; print rows, seconds and peak memory."""
    report(marts, bars_db, out_dir, symbols_per_batch)


if __name__ == "__main__":
    typer.run(main)
