"""marts.features_1m and labels_1m by a Polars program tuned for them alone: a peer of the bench.

`python -m tests.bench.polars_features BARS_DB OUT_DIR` reads the minute bars that
tests.bench.bars_io exported, computes every column of both marts, writes them, and prints one JSON
line.

The bars of a segment are laid out on a grid: each symbol and session is a line of as many minutes,
present or not, of which the first PAD are always empty. There a window of minutes is a number of
rows, and windows are shifted columns combined: none reaches past PAD empty minutes into another
line. What looks from bar to bar is computed on the bars themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import typer

from tests.bench.bars_io import Frames, Inputs, report
from tests.bench.mart_columns import SEGMENTS, WINDOWS, features_of, labels_of
from tests.bench.polars_edge import TERMS, edge_terms, spreads_of

PAD = 60
"""Empty minutes at the start of a line: as long as the longest window."""
BACK = 30
MAX_BAR_AGE = 60
MAX_WAIT = 6
"""From the minute of a bar to the one of its entry."""
UP, DOWN = 1.04, 0.985
BASELINE, BASELINE_MIN = 20, 5

c = pl.col


# ---- Bars in order, and the lines they lie in


def in_order(bars: pl.DataFrame) -> pl.DataFrame:
    """Return the bars by symbol and time (as one key: a third of a sort by two), with `line`."""
    seconds = c("bar_at").to_physical() // 1_000_000
    return bars.sort(c("symbol").to_physical().cast(pl.Int64) * 2**40 + seconds).with_columns(
        line=pl.struct("symbol", "session_date").rle_id().set_sorted()
    )


def lines_of(bars: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """Return one row per symbol and session: where its segments begin, and the daily state."""
    lines = bars.filter(c("line") != c("line").shift(fill_value=2**32 - 1))

    def minute_of(name: str) -> pl.Expr:
        return (c(name) - c("open_at")).dt.total_minutes().cast(pl.Int32)

    return (
        lines.select("line", "symbol", "session_date")
        .join(inputs.calendar, on="session_date", how="left", maintain_order="left")
        .join(inputs.daily_state, on=["symbol", "session_date"], how="left", maintain_order="left")
        .with_columns(
            is_ended=c("post_close_at") <= inputs.newest_landing,
            PRE=minute_of("pre_open_at"),
            RTH=pl.lit(0, pl.Int32),
            POST=minute_of("close_at"),
            end=minute_of("post_close_at"),
        )
        .rename({"previous_close": "last_close"})
    )


def of_line(lines: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column of the lines for each bar."""
    return pl.lit(lines[name]).gather(c("line"))


def with_minutes(bars: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Add the minute of the session."""
    since_open = (c("bar_at") - of_line(lines, "open_at")).dt.total_minutes()
    return bars.with_columns(minutes_since_open=since_open.cast(pl.Int32))


def bars_between(bars: pl.DataFrame, lines: pl.DataFrame, start: str, end: str) -> pl.DataFrame:
    """Return the bars of a segment."""
    minute = c("minutes_since_open")
    return bars.filter((minute >= of_line(lines, start)) & (minute < of_line(lines, end)))


def with_baseline(lines: pl.DataFrame, rth_bars: pl.DataFrame) -> pl.DataFrame:
    """Add the session's open, and its place among the symbol's baseline sessions."""
    opens = rth_bars.group_by("line").agg(session_open=c("open").first())
    is_baseline = c("session_open").is_not_null() & ~c("is_half_day")
    return (
        lines.join(opens, on="line", how="left", maintain_order="left")
        .with_columns(is_baseline=is_baseline.fill_null(False))
        .pipe(with_baseline_counts)
    )


def with_baseline_counts(sessions: pl.DataFrame) -> pl.DataFrame:
    """Add how many baseline sessions of the symbol came before, and how many of them count."""
    known = (c("is_baseline").cum_sum() - c("is_baseline")).over("symbol").cast(pl.Int32)
    counted = pl.when(c("known") >= BASELINE_MIN).then(c("known").clip(upper_bound=BASELINE))
    return sessions.with_columns(known=known).with_columns(baseline_count=counted)


# ---- From bar to bar


def bar_before() -> Iterator[pl.Expr]:
    """Yield high, low and close of the bar before, its age permitting."""
    is_fresh = c("position") - c("position").shift() <= MAX_BAR_AGE
    for name in ("high", "low", "close"):
        yield pl.when(is_fresh).then(c(name).shift()).alias(f"previous_{name}")


def with_bar_before(bars: pl.DataFrame) -> pl.DataFrame:
    """Add the bar before, and sums and high of the segment so far."""
    dollars = c("close") * c("volume")
    typical_dollars = (c("high") + c("low") + c("close")) / 3 * c("volume")
    is_first = c("line") != c("line").shift(fill_value=2**32 - 1)
    return bars.with_columns(
        *bar_before(),
        volume_so_far=c("volume").cum_sum().over("line"),
        dollar_volume_so_far=dollars.cum_sum().over("line"),
        typical_dollars_so_far=typical_dollars.cum_sum().over("line"),
        high_before=pl.when(~is_first).then(c("high").cum_max().over("line").shift()),
    )


def grid_terms(bars: pl.DataFrame) -> pl.DataFrame:
    """Return of each bar what is laid out on the grid."""
    squared_return = (c("close") / c("previous_close")).log() ** 2
    return bars.select(
        *("position", "volume"), high_1="high", low_1="low", squares_1=squared_return
    ).hstack(edge_terms(bars))


def on_grid(terms: pl.DataFrame, size: int) -> pl.DataFrame:
    """Return `size` minutes with their bars' terms; 0 (and -inf, inf) where there is no bar.

    The streaming engine merges what is sorted: a sixth of the CPU time of a hash join.
    """
    minutes = pl.LazyFrame().select(position=pl.int_range(size, dtype=pl.Int32))
    return (
        minutes.set_sorted("position")
        .join(terms.lazy().set_sorted("position"), on="position", how="left", maintain_order="left")
        .select(
            has_bar=c("high_1").is_not_null(),
            high_1=c("high_1").fill_null(float("-inf")),
            low_1=c("low_1").fill_null(float("inf")),
            **{name: c(name).fill_null(0.0) for name in (*TERMS, "volume", "squares_1")},
        )
        .collect(engine="streaming")
    )


# ---- Windows of minutes, on the grid


def doubled_windows(grid: pl.DataFrame) -> pl.DataFrame:
    """Return high_N, low_N and squares_N over the N = 1, 2, 4, ... 32 minutes from each one on."""
    windows = grid.select("high_1", "low_1", "squares_1")
    for n in (1, 2, 4, 8, 16):
        high, low, squares = c(f"high_{n}"), c(f"low_{n}"), c(f"squares_{n}")
        windows = windows.with_columns(
            pl.max_horizontal(high, high.shift(-n)).alias(f"high_{2 * n}"),
            pl.min_horizontal(low, low.shift(-n)).alias(f"low_{2 * n}"),
            (squares + squares.shift(-n, fill_value=0.0)).alias(f"squares_{2 * n}"),
        )
    return windows


def window_columns(windows: pl.DataFrame) -> pl.DataFrame:
    """Return the extremes of the horizons from each minute on, and of the base before it.

    A window of 60 minutes is two of 32 that overlap; 31 are 16, 8, 4, 2 and 1 in a row.
    """
    return (
        windows.lazy()
        .select(
            high_30m=pl.max_horizontal("high_16", c("high_16").shift(-14)),
            low_30m=pl.min_horizontal("low_16", c("low_16").shift(-14)),
            high_60m=pl.max_horizontal("high_32", c("high_32").shift(-28)),
            low_60m=pl.min_horizontal("low_32", c("low_32").shift(-28)),
            squared_returns=c("squares_16").shift(30)
            + c("squares_8").shift(14)
            + c("squares_4").shift(6)
            + c("squares_2").shift(2)
            + c("squares_1"),
        )
        .with_columns(base_high=c("high_30m").shift(BACK), base_low=c("low_30m").shift(BACK))
        .collect()
    )


# ---- Usual volume, on the grid


def usual_volumes(grid: pl.DataFrame, lines: pl.DataFrame, width: int) -> pl.DataFrame:
    """Return the volume of the baseline sessions, summed: of 5 minutes around, and so far.

    A line's minutes are one array, so that whole sessions are added up.
    """
    volumes = lines.with_columns(grid.select(volumes=c("volume").reshape((-1, width))))
    sums = _over_sessions(volumes.filter("is_baseline"))
    summed = (
        volumes.join(sums, on=["symbol", "known"], how="left", maintain_order="left")
        .select(pl.when(c("summed").is_null()).then(c("volumes") * 0).otherwise("summed"))
        .to_series()
    )
    column = pl.int_range(len(grid), dtype=pl.Int32) % width
    line = pl.int_range(len(grid), dtype=pl.Int32) // width
    is_inside = (column >= pl.lit(lines["start"]).gather(line)) & (
        column < pl.lit(lines["stop"]).gather(line)
    )
    usual = pl.select(usual=pl.when(is_inside).then(summed.explode()).otherwise(0.0))
    around = sum(c("usual").shift(n, fill_value=0.0) for n in (-2, -1, 1, 2))
    so_far = c("usual").reshape((-1, width)).arr.eval(pl.element().cum_sum()).explode()
    return usual.select(usual_volume=c("usual") + around, usual_volume_so_far=so_far)


def _over_sessions(baseline: pl.DataFrame) -> pl.DataFrame:
    """Return the sums over each baseline session and the 19 before it, keyed by the next one."""

    def plus_earlier(name: str, sessions: int, earlier: str) -> pl.Expr:
        is_known = c("known") >= sessions
        return pl.when(is_known).then(c(name) + c(earlier).shift(sessions)).otherwise(name)

    return (
        baseline.lazy()
        .select("symbol", "known", one="volumes")
        .with_columns(two=plus_earlier("one", 1, "one"))
        .with_columns(four=plus_earlier("two", 2, "two"))
        .with_columns(eight=plus_earlier("four", 4, "four"))
        .with_columns(sixteen=plus_earlier("eight", 8, "eight"))
        .select("symbol", c("known") + 1, summed=plus_earlier("sixteen", 16, "four"))
        .collect()
    )


# ---- Bars with what the grid says of them


def with_warm_windows(bars: pl.DataFrame) -> pl.DataFrame:
    """Null the windows behind a bar that have fewer than ten bars, or ten returns.

    The tenth bar before this one is in the 30 minutes before it. For returns the ninth is, and has
    one: of the bars in the window only the oldest can have none.
    """
    position, has_before = c("position"), c("previous_close").is_not_null()
    has_base = position - position.shift(10) <= BACK
    has_returns = (position - position.shift(9) <= BACK) & has_before.shift(9)
    return bars.with_columns(
        base_high=pl.when(has_base).then("base_high"),
        squared_returns=pl.when(has_returns).then("squared_returns"),
    )


def with_mean_volumes(bars: pl.DataFrame, lines: pl.DataFrame, width: int) -> pl.DataFrame:
    """Divide the usual volumes by baseline sessions, and by the minutes of the segment around."""
    column, count = c("position") % width, of_line(lines, "baseline_count")
    last = pl.min_horizontal(of_line(lines, "stop") - 1, column + 2)
    first = pl.max_horizontal(of_line(lines, "start"), column - 2)
    return bars.with_columns(
        usual_volume=c("usual_volume") / (last - first + 1) / count,
        usual_volume_so_far=c("usual_volume_so_far") / count,
    )


def with_entries(bars: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Add the entry at the next bar's open, and the extremes of the horizons from there."""
    position = c("position")
    has_entry = (position.shift(-1) - position <= MAX_WAIT).fill_null(False)
    end = of_line(lines, "segment_end")
    entry_minute = c("minutes_since_open").shift(-1)
    extremes = [f"{name}_{minutes}m" for name in ("high", "low") for minutes in WINDOWS]
    half = c("spread_est") / 2
    return bars.with_columns(
        *(c(name).shift(-1) for name in extremes),
        *(
            (has_entry & (entry_minute + minutes <= end)).alias(f"is_complete_{minutes}m")
            for minutes in WINDOWS
        ),
        entry_minute=entry_minute,
        entry_position=position.shift(-1),
        entry_price=pl.when(has_entry).then(c("open").shift(-1)),
        cost_factor=(1 + half) / (1 - half),
    )


def with_hit(
    bars: pl.DataFrame, windows: pl.DataFrame, minutes: int, name: str, price: pl.Expr
) -> pl.DataFrame:
    """Add as `name` whether an entry at `price` sees the target before the stop."""
    has_label = c(f"is_complete_{minutes}m") & price.is_not_null()
    is_up = c(f"high_{minutes}m") >= price * UP
    is_down = c(f"low_{minutes}m") <= price * DOWN
    hits = bars.select(pl.when(has_label).then(is_up)).to_series()
    touched = (
        bars.lazy()
        .with_row_index("row")
        .filter(has_label & is_up & is_down)
        .select("row", position="entry_position", target=price * UP, stop=price * DOWN)
    )
    settled = _target_comes_first(touched, windows)
    return bars.with_columns(hits.scatter(settled["row"], settled["is_target"]).alias(name))


def _target_comes_first(touched: pl.LazyFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Return whether the first bar that touches either touches the target alone.

    Both are within an hour: stretches of 32, 16, ... minutes that touch neither are skipped.
    """

    def at(name: str) -> pl.Expr:
        return pl.lit(windows[name]).gather("position")

    for n in (32, 16, 8, 4, 2, 1):
        neither = (at(f"high_{n}") < c("target")) & (at(f"low_{n}") > c("stop"))
        touched = touched.with_columns(position=c("position") + neither.cast(pl.Int32) * n)
    return touched.select("row", is_target=at("low_1") > c("stop")).collect()


# ---- The whole program


def segment_rows(bars: pl.DataFrame, lines: pl.DataFrame, start: str, end: str) -> pl.DataFrame:
    """Return the bars of a segment with all that the marts' columns are made of."""
    origin = lines[start].min() - PAD
    width = lines[end].max() - origin
    assert width % 5 == 0, f"a segment of {width - PAD} minutes is not made of 5-minute buckets"
    lines = lines.with_columns(start=c(start) - origin, stop=c(end) - origin, segment_end=c(end))
    position = c("line").cast(pl.Int32) * width + c("minutes_since_open") - origin
    bars = with_bar_before(bars.with_columns(position=position))
    grid = on_grid(grid_terms(bars), len(lines) * width)
    windows = doubled_windows(grid)
    columns = window_columns(windows).hstack(usual_volumes(grid, lines, width))
    spread = pl.lit(spreads_of(grid)).gather((c("position") + 1) // 5 - 1)
    bars = bars.hstack(columns.filter(grid["has_bar"])).with_columns(spread_est=spread)
    bars = with_mean_volumes(with_warm_windows(bars), lines, width)
    bars = with_entries(bars, lines)
    for minutes in WINDOWS:
        bars = with_hit(bars, windows, minutes, f"hit_{minutes}m", c("entry_price"))
        net_price = c("entry_price") * c("cost_factor")
        bars = with_hit(bars, windows, minutes, f"hit_{minutes}m_net", net_price)
    per_line = ("session_open", "last_close", "atr5_pct", "pump_days_60d", "is_ended")
    return bars.with_columns(
        *(of_line(lines, name).alias(name) for name in per_line),
        session_segment=pl.lit(start, SEGMENTS),
    )


def marts(bars: pl.DataFrame, inputs: Inputs) -> Iterator[tuple[str, Frames]]:
    """Yield the rows of both marts for some symbols' bars, segment by segment."""
    bars = in_order(bars)
    lines = lines_of(bars, inputs)
    bars = with_minutes(bars, lines)
    lines = with_baseline(lines, bars_between(bars, lines, "RTH", "POST"))
    for start, end in (("PRE", "RTH"), ("RTH", "POST"), ("POST", "end")):
        chosen = bars_between(bars, lines, start, end)
        if len(chosen):
            rows = segment_rows(chosen, lines, start, end)
            yield start, {"features": features_of(rows), "labels": labels_of(rows)}


def main(bars_db: Path, out_dir: Path, symbols_per_batch: int = 5) -> None:
    """Compute both marts from the bars of BARS_DB; print rows, seconds and peak memory."""
    report(marts, bars_db, out_dir, symbols_per_batch)


if __name__ == "__main__":
    typer.run(main)
