"""marts.features_1m and labels_1m by special-purpose code: the floor that the bench compares with.

`python -m tests.bench.grid_kernels BARS_DB OUT_DIR` reads the minute bars that tests.bench.bars_io
exported, computes every column of both marts, writes them, and prints one JSON line.

Polars reads, sorts, joins and writes. What looks along the minutes or across sessions is computed
on a dense grid (one line per symbol and session, one column per minute) by numpy, some symbols at
a time so that the grid stays in the cache. CPU time in ns per bar, 2.3 M bars: windows of 30 and 60
minutes, back and ahead, 19; EDGE 114; sums since the segment began 20; usual volume 29.
"""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import typer

from tests.bench.bars_io import Frames, Inputs, empty_folders, read_inputs, report, save
from tests.bench.mart_columns import SEGMENTS, WINDOWS, features_of, labels_of

MINUTE = 60_000_000
PAD = 60
"""Empty minutes between two lines of the grid: as long as the longest window, so none leaks."""
BEFORE = 30
KEY_STEP = 100_000
"""Between the keys of two lines: more than any two minutes of a line lie apart."""
EDGES = ["pre_open_at", "open_at", "close_at", "post_close_at"]
UP, DOWN = 1.04, 0.985
BASELINE, BASELINE_MIN = 20, 5
BLOCK_LINES = 120
"""Symbol-sessions computed at a time: their grids fit the cache."""

Array = np.ndarray


# ---- Rows in order: one line per symbol and session


@dataclass(frozen=True)
class Lines:
    """The bars of some symbols, sorted, and the symbol-sessions ("lines") they lie in."""

    rows: pl.DataFrame
    line: Array
    minute: Array
    """Of each row: its line, and its minute of the session."""
    lines: pl.DataFrame
    """One row per line: symbol, session_date, is_half_day, is_ended, session_open, daily state."""
    edges: Array
    """4 x lines: the minutes where PRE, RTH and POST begin and POST ends."""
    bounds: Array
    """4 x lines: the rows where they do."""

    def of_segment(self, segment: int) -> Array | slice:
        """Return which rows lie in a segment."""
        first, count = self.bounds[segment], self.bounds[segment + 1] - self.bounds[segment]
        if count.sum() == len(self.rows):
            return slice(None)
        return ranges(first, count)


def sorted_batches(inputs: Inputs, symbols_per_batch: int) -> Iterator[Lines]:
    """Yield the bars sorted by symbol and time, `symbols_per_batch` symbols at a time.

    Landed bars lie in runs of one symbol and session: the runs are sorted, not the bars.
    """
    bars = inputs.bars
    starts = bars.select(
        pl.arg_where(
            (pl.col("symbol").to_physical() != pl.col("symbol").to_physical().shift())
            | (pl.col("session_date") != pl.col("session_date").shift())
            | (pl.int_range(pl.len()) == 0)
        ).alias("start")
    )["start"]
    ends = starts.shift(-1, fill_value=len(bars))
    runs = bars.select("symbol", "session_date", "bar_at")[starts].with_columns(
        start=starts, row_count=ends - starts
    )
    runs = runs.sort(pl.col("symbol").to_physical(), "bar_at")
    codes = runs["symbol"].to_physical().rle_id() // symbols_per_batch
    for (_,), batch in runs.with_columns(batch=codes).group_by("batch", maintain_order=True):
        yield _lines(inputs, _rows_of(bars, batch))


def _rows_of(bars: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    start, count = runs["start"].to_numpy().astype(np.int64), runs["row_count"].to_numpy()
    count = count.astype(np.int64)
    rows = bars[pl.Series(ranges(start, count).astype(np.uint32))]
    code, at = (rows[name].to_physical().to_numpy() for name in ("symbol", "bar_at"))
    if ((code[1:] == code[:-1]) & (at[1:] <= at[:-1])).any():
        return rows.sort(pl.col("symbol").to_physical(), "bar_at")
    return rows


def ranges(start: Array, count: Array) -> Array:
    """Return the ranges of `count` numbers from each `start` on, one after the other."""
    before = np.cumsum(count) - count
    return np.arange(count.sum()) + np.repeat(start - before, count)


def _lines(inputs: Inputs, rows: pl.DataFrame) -> Lines:
    """Return the rows that lie in a segment of their session, with their lines."""
    code, date = rows["symbol"].to_physical().to_numpy(), rows["session_date"].to_physical()
    date = date.to_numpy()
    is_first = np.ones(len(rows), bool)
    is_first[1:] = (code[1:] != code[:-1]) | (date[1:] != date[:-1])
    first = np.flatnonzero(is_first)
    count = np.diff(np.append(first, len(rows)))
    line = np.repeat(np.arange(len(first)), count)
    lines = (
        rows.select("symbol", "session_date")[pl.Series(first.astype(np.uint32))]
        .join(inputs.calendar, on="session_date", how="left", maintain_order="left")
        .join(inputs.daily_state, on=["symbol", "session_date"], how="left", maintain_order="left")
        .with_columns(is_ended=pl.col("post_close_at") <= inputs.newest_landing)
    )
    stamps = lines.select(pl.col(EDGES).to_physical().fill_null(0)).to_numpy().T
    edges = (stamps - stamps[1]) // MINUTE
    minute = (rows["bar_at"].to_physical().to_numpy() - stamps[1][line]) // MINUTE
    last = first + count - 1
    if (minute[first] < edges[0]).any() or (minute[last] >= edges[3]).any():
        is_inside = (minute >= edges[0][line]) & (minute < edges[3][line])
        return _lines(inputs, rows.filter(pl.Series(is_inside)))
    key = line * KEY_STEP + minute
    bounds = np.searchsorted(key, np.arange(len(first)) * KEY_STEP + edges)
    session_open = np.full(len(first), np.nan)
    has_rth = np.flatnonzero(bounds[1] < bounds[2])
    session_open[has_rth] = rows["open"].to_numpy()[bounds[1][has_rth]]
    lines = lines.with_columns(session_open=session_open)
    return Lines(rows, line, minute, lines, edges, bounds)


# ---- The grid of one segment of a few symbols


@dataclass(frozen=True)
class Grid:
    """Lines x minutes of one segment, flat: BEFORE empty minutes, then each line and PAD more."""

    line_count: int
    width: int
    position: Array
    """Where each row lies in a flat array."""
    minute: Array
    line: Array
    origin: int

    @property
    def stride(self) -> int:
        return self.width + PAD

    @property
    def size(self) -> int:
        return BEFORE + self.line_count * self.stride

    def spread_out(self, values: Array, empty: float) -> Array:
        """Return the rows' values on the flat grid, `empty` elsewhere."""
        flat = np.full(self.size, empty)
        flat[self.position] = values
        return flat

    def by_line(self, flat: Array) -> Array:
        """Return a view, lines x minutes (the padding behind them included)."""
        return flat[BEFORE:].reshape(self.line_count, self.stride)

    def so_far(self, values: Array) -> Array:
        """Return, per row, the sum of its line's values up to and including it."""
        flat = self.spread_out(values, 0.0)
        lines = self.by_line(flat)
        np.cumsum(lines, axis=1, out=lines)
        return flat[self.position]


def doubled(flat: Array, combine: np.ufunc, steps: int) -> list[Array]:
    """Return arrays of `combine` over the 1, 2, 4, ... minutes from each minute on."""
    tables, reach = [flat], 1
    for _ in range(steps):
        last = tables[-1]
        table = np.empty_like(last)
        combine(last[:-reach], last[reach:], out=table[:-reach])
        table[-reach:] = last[-reach:]
        tables.append(table)
        reach *= 2
    return tables


def over_window(tables: list[Array], combine: np.ufunc, minutes: int) -> Array:
    """Return the extreme over `minutes` from each minute on, by two overlapping tables."""
    step = int(minutes).bit_length() - 1
    shift = minutes - 2**step
    table = tables[step]
    out = np.empty_like(table)
    combine(table[:-shift], table[shift:], out=out[:-shift])
    out[-shift:] = table[-shift:]
    return out


# ---- EDGE


def edge_sums(grid: Grid, bars: dict[str, Array], has_before: Array) -> Array:
    """Return the sums of EDGE's products: (products + 1) x (12 + buckets of 5 minutes).

    The terms are laid out as 5 x buckets, so that a bucket's sum adds five contiguous arrays.
    Each line has its buckets and then 13 empty ones; 12 empty ones come first.
    """
    per_line = grid.width // 5 + 13
    buckets = 12 + grid.line_count * per_line
    column = grid.minute - grid.origin
    place = column // 5
    index = (column - 5 * place) * buckets + 12 + grid.line * per_line + place
    terms = np.zeros((9, 5 * buckets))
    for number, values in enumerate(_edge_terms(bars, has_before)):
        terms[number, index] = values
    tau, po, pc, r1, r2, r3, r4, r5, there = terms.reshape(9, 5, buckets)
    r1_r2, tau_r2, r3_r4, tau_r4 = r1 * r2, tau * r2, r3 * r4, tau * r4
    r1_r5, tau_r5, r5_r4 = r1 * r5, tau * r5, r5 * r4
    sums = np.empty((33, buckets))
    single = (tau, po, pc, r1, r3, r5, r1_r2, tau_r2, r3_r4, tau_r4, r1_r5, tau_r5, r5_r4)
    pairs = (
        *((r1_r2, r1_r2), (r1_r2, tau_r2), (tau_r2, tau_r2)),
        *((r3_r4, r3_r4), (r3_r4, tau_r4), (tau_r4, tau_r4)),
        *((r1_r2, r3_r4), (r1_r2, tau_r4), (tau_r2, r3_r4), (tau_r2, tau_r4)),
        *((r1_r5, r1_r5), (r1_r5, tau_r5), (tau_r5, tau_r5), (r5_r4, r5_r4), (r5_r4, tau_r4)),
        *((r1_r5, r5_r4), (r1_r5, tau_r4), (tau_r5, r5_r4), (tau_r5, tau_r4)),
    )
    for number, values in enumerate((there, *single)):
        np.add.reduce(values, axis=0, out=sums[number])
    buffer = np.empty_like(tau)
    for number, (left, right) in enumerate(pairs, 1 + len(single)):
        np.multiply(left, right, out=buffer)
        np.add.reduce(buffer, axis=0, out=sums[number])
    return sums


def _edge_terms(bars: dict[str, Array], has_before: Array) -> Iterator[Array]:
    open_, high, low, close = (bars[name] for name in ("open", "high", "low", "close"))
    high_before, low_before, close_before = (before(x) for x in (high, low, close))
    weight = has_before.astype(float)
    tau = ((high != low) | (low != close_before)) * weight
    yield tau
    yield tau * ((open_ != high).astype(float) + (open_ != low))
    yield tau * ((close_before != high_before).astype(float) + (close_before != low_before))
    log_open, log_close = np.log(open_), bars["log_close"]
    middle = (np.log(high) + np.log(low)) / 2
    middle_before, log_close_before = before(middle), before(log_close)
    yield (middle - log_open) * weight
    yield (log_open - middle_before) * weight
    yield (middle - log_close_before) * weight
    yield (log_close_before - middle_before) * weight
    yield (log_open - log_close_before) * weight
    yield weight


def before(values: Array) -> Array:
    """Return each row's value of the row before it (the first row: its own)."""
    out = np.empty_like(values)
    out[0], out[1:] = values[0], values[:-1]
    return out


def spread_estimates(grid: Grid, sums: Array) -> Array:
    """Return, per row, EDGE over the hour before the latest 5-minute mark; NaN where undefined."""
    two = sums[:, :-1] + sums[:, 1:]
    four = two[:, :-2] + two[:, 2:]
    eight = four[:, :-4] + four[:, 4:]
    spread = _spread(eight[:, :-4] + four[:, 8:])
    per_line = grid.width // 5 + 13
    mark = (grid.minute + 1 - grid.origin) // 5
    return spread[grid.line * per_line + mark]


def _spread(sums: Array) -> Array:
    with np.errstate(all="ignore"):
        count = sums[0]
        (
            (tau, po, pc, r1, r3, r5, r1_r2, tau_r2, r3_r4, tau_r4, r1_r5, tau_r5, r5_r4),
            (r1_r1_r2_r2, r1_tau_r2_r2, tau_r2_r2, r3_r3_r4_r4, r3_tau_r4_r4, tau_r4_r4),
            (r1_r2_r3_r4, r1_r2_tau_r4, tau_r2_r3_r4, tau_r2_r4),
            (r1_r1_r5_r5, r1_tau_r5_r5, tau_r5_r5, r5_r5_r4_r4, r5_tau_r4_r4),
            (r1_r5_r5_r4, r1_tau_r5_r4, tau_r5_r5_r4, tau_r5_r4),
        ) = np.split(sums[1:] / count, (13, 19, 23, 28))
        a1, a3, a5 = r1 / tau, r3 / tau, r5 / tau
        wo = -4 / np.where(po == 0, np.nan, po)
        wc = -4 / np.where(pc == 0, np.nan, pc)
        e1 = wo * (r1_r2 - a1 * tau_r2) + wc * (r3_r4 - a3 * tau_r4)
        e2 = wo * (r1_r5 - a1 * tau_r5) + wc * (r5_r4 - a5 * tau_r4)
        v1 = (
            wo * wo * (r1_r1_r2_r2 - 2 * a1 * r1_tau_r2_r2 + a1 * a1 * tau_r2_r2)
            + wc * wc * (r3_r3_r4_r4 - 2 * a3 * r3_tau_r4_r4 + a3 * a3 * tau_r4_r4)
            + 2
            * wo
            * wc
            * (r1_r2_r3_r4 - a3 * r1_r2_tau_r4 - a1 * tau_r2_r3_r4 + a1 * a3 * tau_r2_r4)
            - e1 * e1
        )
        v2 = (
            wo * wo * (r1_r1_r5_r5 - 2 * a1 * r1_tau_r5_r5 + a1 * a1 * tau_r5_r5)
            + wc * wc * (r5_r5_r4_r4 - 2 * a5 * r5_tau_r4_r4 + a5 * a5 * tau_r4_r4)
            + 2
            * wo
            * wc
            * (r1_r5_r5_r4 - a5 * r1_tau_r5_r4 - a1 * tau_r5_r5_r4 + a1 * a5 * tau_r5_r4)
            - e2 * e2
        )
        total = v1 + v2
        s2 = np.where(total > 0, (v2 * e1 + v1 * e2) / total, (e1 + e2) / 2)
        enough = (count >= 30) & (sums[1] >= 2)
        return np.where(enough, np.sqrt(np.maximum(s2, 0)), np.nan)


# ---- Usual volume


@dataclass(frozen=True)
class Baseline:
    """Per line of a block: its latest eligible earlier line, and how many (at most 20) count."""

    eligible: Array
    """Indices of the lines that can be baseline sessions."""
    number: Array
    """Of each eligible line: how many of its symbol come before it."""
    latest: Array
    """Of each line: the index, among the eligible ones, of the latest before it."""
    count: Array
    """Of each line: how many baseline sessions it has; 0 where too few."""


def baseline_of(code: Array, has_rth_bar: Array, is_half_day: Array) -> Baseline:
    """Return the baseline sessions of lines sorted by symbol and session."""
    is_eligible = has_rth_bar & ~is_half_day
    eligible = np.flatnonzero(is_eligible)
    earlier = np.cumsum(is_eligible) - is_eligible
    first_line = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
    symbol = np.cumsum(np.r_[True, code[1:] != code[:-1]]) - 1
    known = earlier - earlier[first_line][symbol]
    count = np.where(known >= BASELINE_MIN, np.minimum(known, BASELINE), 0)
    return Baseline(eligible, known[eligible], np.maximum(earlier - 1, 0), count)


def usual_volumes(
    grid: Grid, volume: Array, baseline: Baseline, starts: Array, ends: Array
) -> tuple[Array, Array]:
    """Return, per row, the usual volume of its minute and of its segment so far.

    `starts` and `ends` bound each line's segment, in columns of the grid.
    """
    usual = np.zeros(grid.size)
    if len(baseline.eligible):
        lines = grid.by_line(grid.spread_out(volume, 0.0))[baseline.eligible]
        sums = _over_sessions(lines, baseline.number)[baseline.latest]
        sums[baseline.count == 0] = 0
        for line in np.flatnonzero((starts > 0) | (ends < grid.width)):
            sums[line, : starts[line]] = 0
            sums[line, ends[line] :] = 0
        grid.by_line(usual)[:] = sums
    position = grid.position
    column = grid.minute - grid.origin
    start, end = starts[grid.line], ends[grid.line]
    smoothed = usual.copy()
    for shift in (1, 2):
        smoothed[shift:] += usual[:-shift]
        smoothed[:-shift] += usual[shift:]
    minutes = np.minimum(end - 1, column + 2) - np.maximum(start, column - 2) + 1
    count = np.maximum(baseline.count, 1)[grid.line]
    at_minute = smoothed[position] / minutes / count
    lines = grid.by_line(usual)
    np.cumsum(lines, axis=1, out=lines)
    return at_minute, usual[position] / count


def _over_sessions(lines: Array, number: Array) -> Array:
    """Return each line's sum over it and the 19 before it of its symbol, as 4 + 16."""

    def plus_earlier(sums: Array, sessions: int, others: Array) -> Array:
        out = sums.copy()
        np.add(
            out[sessions:],
            others[:-sessions],
            out=out[sessions:],
            where=(number >= sessions)[sessions:, None],
        )
        return out

    two = plus_earlier(lines, 1, lines)
    four = plus_earlier(two, 2, two)
    eight = plus_earlier(four, 4, four)
    return plus_earlier(plus_earlier(eight, 8, eight), 16, four)


# ---- Labels


def label_columns(grid: Grid, bars: dict[str, Array], out: dict[str, Array], end: Array) -> None:
    """Fill in the entries, horizons and hits. `end` is the minute each row's segment ends."""
    rows = len(grid.minute)
    following = np.minimum(np.arange(rows) + 1, rows - 1)
    entry_minute = grid.minute[following]
    has_entry = (grid.line[following] == grid.line) & (entry_minute - grid.minute <= 6)
    has_entry[-1] = False
    entry_price = np.where(has_entry, bars["open"][following], np.nan)
    entry_position = grid.position[following]
    out["entry_minute"][:] = entry_minute
    out["entry_price"][:] = entry_price
    highs, lows = bars["highs"], bars["lows"]
    half_spread = out["spread_est"] / 2
    cost_factor = (1 + half_spread) / (1 - half_spread)
    for minutes in WINDOWS:
        high = bars[f"high_{minutes}m"][entry_position]
        low = bars[f"low_{minutes}m"][entry_position]
        is_complete = has_entry & (entry_minute + minutes <= end)
        out[f"is_complete_{minutes}m"][:] = is_complete
        out[f"high_{minutes}m"][:] = high
        out[f"low_{minutes}m"][:] = low
        for suffix, price in (("", entry_price), ("_net", entry_price * cost_factor)):
            target, stop = price * UP, price * DOWN
            up, down = high >= target, low <= stop
            hit = (up & ~down).astype(np.int8)
            hit[~is_complete | np.isnan(price)] = -1
            both = np.flatnonzero(up & down & is_complete)
            hit[both] = _target_comes_first(
                highs, lows, entry_position[both], target[both], stop[both]
            )
            out[f"hit_{minutes}m{suffix}"][:] = hit


def _target_comes_first(
    highs: list[Array], lows: list[Array], position: Array, target: Array, stop: Array
) -> Array:
    """Return whether the first bar from `position` on that touches either touches only target.

    Both are, within an hour: stretches of 32, 16, ... minutes that touch neither are skipped.
    """
    for step in range(5, -1, -1):
        neither = (highs[step][position] < target) & (lows[step][position] > stop)
        position = position + (neither << step)
    return lows[0][position] > stop


# ---- A block of symbols, a batch of blocks


FLOATS = (
    *("previous_close", "volume_so_far", "dollar_volume_so_far", "typical_dollars_so_far"),
    *("usual_volume", "usual_volume_so_far", "base_high", "base_low", "high_before"),
    *("squared_returns", "spread_est", "entry_price"),
    *(f"{name}_{minutes}m" for minutes in WINDOWS for name in ("high", "low")),
)
HITS = tuple(f"hit_{minutes}m{suffix}" for minutes in WINDOWS for suffix in ("", "_net"))
COMPLETE = tuple(f"is_complete_{minutes}m" for minutes in WINDOWS)


def empty_columns(rows: int) -> dict[str, Array]:
    """Return the columns that blocks fill in."""
    return (
        {name: np.empty(rows) for name in FLOATS}
        | {name: np.empty(rows, np.int8) for name in HITS}
        | {name: np.empty(rows, bool) for name in COMPLETE}
        | {"entry_minute": np.empty(rows, np.int32)}
    )


def fill_block(
    grid: Grid,
    bars: dict[str, Array],
    baseline: Baseline,
    bounds: tuple[Array, Array],
    out: dict[str, Array],
) -> None:
    """Compute what looks along the minutes or across sessions for the rows of one block."""
    high, low, close, volume = (bars[name] for name in ("high", "low", "close", "volume"))
    key = grid.line * KEY_STEP + grid.minute
    gap = np.empty(len(key), np.int64)
    gap[0], gap[1:] = KEY_STEP, np.diff(key)
    has_before = gap <= 60
    out["previous_close"][:] = np.where(has_before, before(close), np.nan)
    out["volume_so_far"][:] = grid.so_far(volume)
    out["dollar_volume_so_far"][:] = grid.so_far(close * volume)
    out["typical_dollars_so_far"][:] = grid.so_far((high + low + close) / 3 * volume)
    out["usual_volume"][:], out["usual_volume_so_far"][:] = usual_volumes(
        grid, volume, baseline, *bounds
    )
    flat_high, flat_low = grid.spread_out(high, -np.inf), grid.spread_out(low, np.inf)
    so_far = flat_high.copy()
    np.maximum.accumulate(grid.by_line(flat_high), axis=1, out=grid.by_line(so_far))
    is_first = grid.line != before(grid.line)
    is_first[0] = True
    out["high_before"][:] = np.where(is_first, np.nan, so_far[grid.position - 1])
    highs, lows = doubled(flat_high, np.maximum, 5), doubled(flat_low, np.minimum, 5)
    windows = {"highs": highs, "lows": lows}
    for minutes in WINDOWS:
        windows[f"high_{minutes}m"] = over_window(highs, np.maximum, minutes)
        windows[f"low_{minutes}m"] = over_window(lows, np.minimum, minutes)
    # Ten bars in the 30 minutes before: the tenth before this one is not older than that.
    is_warm = np.zeros(len(key), bool)
    is_warm[10:] = key[:-10] >= key[10:] - BEFORE
    from_base = grid.position - BEFORE
    out["base_high"][:] = np.where(is_warm, windows["high_30m"][from_base], np.nan)
    out["base_low"][:] = windows["low_30m"][from_base]
    log_close = np.log(close)
    squares = np.where(has_before, log_close - before(log_close), 0) ** 2
    one, two, four, eight, sixteen = doubled(grid.spread_out(squares, 0.0), np.add, 4)
    total = sixteen[from_base] + eight[from_base + 16] + four[from_base + 24]
    total += two[from_base + 28] + one[grid.position]
    # Ten returns: the ninth bar before this one is in the window and has one (in it, only the
    # oldest bar can have none).
    is_warm[:9] = False
    is_warm[9:] = (key[:-9] >= key[9:] - BEFORE) & has_before[:-9]
    out["squared_returns"][:] = np.where(is_warm, total, np.nan)
    sums = edge_sums(grid, bars | {"log_close": log_close}, has_before)
    out["spread_est"][:] = spread_estimates(grid, sums)
    label_columns(grid, bars | windows, out, (bounds[1] + grid.origin)[grid.line])


def segment_columns(part: Lines, segment: int) -> pl.DataFrame | None:
    """Return the rows of a segment with what their features and labels are made of."""
    rows, line, minute, lines = part.rows, part.line, part.minute, part.lines
    start, end = part.edges[segment], part.edges[segment + 1]
    chosen = part.of_segment(segment)
    line, minute = line[chosen], minute[chosen]
    if not len(line):
        return None
    if not isinstance(chosen, slice):
        rows = rows[pl.Series(chosen.astype(np.uint32))]
    columns = empty_columns(len(rows))
    bars = {n: rows[n].to_numpy() for n in ("open", "high", "low", "close", "volume")}
    code = lines["symbol"].to_physical().to_numpy()
    half, session_open = lines["is_half_day"].to_numpy(), lines["session_open"].to_numpy()
    origin, width = int(start.min()), int(end.max() - start.min())
    assert not (start % 5).any()
    assert not (end % 5).any()
    for low, high in _blocks(code):
        a, b = np.searchsorted(line, (low, high))
        if a == b:
            continue
        block_line, block_minute = line[a:b] - low, minute[a:b]
        position = BEFORE + block_line * (width + PAD) + block_minute - origin
        grid = Grid(high - low, width, position, block_minute, block_line, origin)
        has_rth = ~np.isnan(session_open[low:high])
        fill_block(
            grid,
            {name: values[a:b] for name, values in bars.items()},
            baseline_of(code[low:high], has_rth, half[low:high]),
            (start[low:high] - origin, end[low:high] - origin),
            {name: values[a:b] for name, values in columns.items()},
        )
    per_line = lines.select(
        *("atr5_pct", "pump_days_60d", "session_open", "is_ended"),
        last_close="previous_close",
    )
    columns["minutes_since_open"] = minute.astype(np.int32)
    return pl.concat(
        [rows, pl.DataFrame(columns), per_line[pl.Series(line.astype(np.uint32))]],
        how="horizontal",
    ).with_columns(
        *(pl.when(pl.col(name) >= 0).then(pl.col(name) == 1).alias(name) for name in HITS),
        session_segment=pl.lit(SEGMENTS.categories[segment], SEGMENTS),
    )


def _blocks(code: Array) -> Iterator[tuple[int, int]]:
    """Yield ranges of lines: whole symbols, about BLOCK_LINES lines."""
    ends = np.flatnonzero(np.r_[code[1:] != code[:-1], True]) + 1
    low = 0
    for number, end in enumerate(ends):
        if number + 1 == len(ends) or ends[number + 1] - low > BLOCK_LINES:
            yield low, int(end)
            low = int(end)


# ---- The whole program


def run(
    folder: Path, out: Path, symbols_per_batch: int = 5, output: str = "parquet", workers: int = 2
) -> tuple[int, list[Frames]]:
    """Compute both marts of the inputs in `folder`; return the rows of features, and frames.

    `output`: "parquet" writes `out`/features/*.parquet and labels/*.parquet; "memory" writes
    nothing and returns the frames.
    """
    empty_folders(out)
    inputs = read_inputs(folder)
    kept: list[Frames] = []

    def finish(number: int, part: Lines) -> int:
        count = 0
        for segment, name in enumerate(SEGMENTS.categories):
            rows = segment_columns(part, segment)
            if rows is None:
                continue
            count += len(rows)
            frames = {"features": features_of(rows), "labels": labels_of(rows)}
            kept.append(save(frames, out, f"{number:04d}_{name}", output))
        return count

    rows = 0
    waiting: deque[Future[int]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for number, part in enumerate(sorted_batches(inputs, symbols_per_batch)):
            waiting.append(pool.submit(finish, number, part))
            if len(waiting) > workers:
                rows += waiting.popleft().result()
        rows += sum(future.result() for future in waiting)
    return rows, kept


def keep_freed_memory() -> None:
    """Let malloc (glibc's) keep what numpy frees: a fifth of the time went into page faults."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    trim_threshold, mmap_threshold, arena_max = -1, -3, -8
    libc.mallopt(mmap_threshold, 1 << 30)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(arena_max, 1)


def main(
    bars_db: Path,
    out_dir: Path,
    symbols_per_batch: int = 5,
    output: str = "parquet",
    workers: int = 2,
) -> None:
    """Compute both marts from the bars of BARS_DB; print rows, seconds and peak memory."""
    keep_freed_memory()
    report(
        bars_db, out_dir, lambda folder: run(folder, out_dir, symbols_per_batch, output, workers)[0]
    )


if __name__ == "__main__":
    typer.run(main)
