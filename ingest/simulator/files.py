"""A market of recorded bars: what the files hold is served as it is, faults and all."""

from __future__ import annotations

import math
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ingest.simulator.market import BARS_1D, BARS_1M, Bars, Profile, Split, SymbolChange
from ingest.simulator.sessions import first_index, last_index, session_on, sessions

VALUES = ("open", "high", "low", "close", "volume")


class FileMarket:
    """A market over Parquet or CSV files of bars as traded.

    `bars_1m`: symbol, bar_at (UTC), open, high, low, close, volume. `bars_1d`: the same with date.
    `profiles`: symbol, company_name, exchange, sector, industry, country, market_cap, and is_etf,
    is_fund, is_adr where there are. The symbols are those of the minute bars, or without these
    of the daily ones; a dot in a symbol becomes a hyphen. Raises ValueError on an unusable file.
    """

    def __init__(
        self,
        bars_1m: Path | None = None,
        bars_1d: Path | None = None,
        profiles: Path | None = None,
    ) -> None:
        self._minutes = _by_symbol(bars_1m, "bar_at", BARS_1M) if bars_1m else {}
        wanted = set(self._minutes) or None
        self._daily = _by_symbol(bars_1d, "date", BARS_1D, wanted) if bars_1d else {}
        if not self._minutes and not self._daily:
            raise ValueError("a market of files needs bars: give bars_1m or bars_1d with rows")
        self._symbols = list(self._minutes or self._daily)
        told = _read(profiles, ("symbol",)).to_pylist() if profiles else []
        self._profiles = {_canonical(row["symbol"]): row for row in told}
        self._all_daily = lru_cache(maxsize=None)(self._complete_daily)

    def symbols(self, on: date | None = None) -> list[str]:
        """Return every symbol of the market, whatever the day."""
        return list(self._symbols)

    def profile(self, symbol: str) -> Profile | None:
        """Return the symbol's profile; None where it has no bars."""
        if symbol not in (self._minutes or self._daily):
            return None
        row = self._profiles.get(symbol, {})
        return Profile(
            symbol=symbol,
            company_name=_word(row, "company_name") or symbol,
            exchange=_word(row, "exchange") or "NASDAQ",
            sector=_word(row, "sector"),
            industry=_word(row, "industry"),
            country=_word(row, "country"),
            is_etf=row.get("is_etf") is True,
            is_fund=row.get("is_fund") is True,
            is_adr=row.get("is_adr") is True,
        )

    def market_cap(self, symbol: str, session_date: date, price: float) -> float | None:
        """Return the market cap of the profiles file, whatever the session."""
        value = self._profiles.get(symbol, {}).get("market_cap")
        return None if value is None or math.isnan(value) else float(round(value))

    def daily(self, symbol: str, start: date, end: date) -> Bars:
        """Return daily bars: those of the file, and where it has none, made of RTH minutes."""
        bars = self._all_daily(symbol)
        days = bars["session_date"]
        first = np.searchsorted(days, np.datetime64(start), side="left")
        last = np.searchsorted(days, np.datetime64(end), side="right")
        return bars[first:last]

    def minutes(self, symbol: str, session_date: date) -> Bars:
        """Return the symbol's minute bars of New York's day `session_date`."""
        bars = self._minutes.get(symbol, np.empty(0, dtype=BARS_1M))
        session = session_on(session_date)
        if session is None:
            return bars[:0]
        midnight = session.open_at - timedelta(hours=9, minutes=30)
        return _between(bars, midnight, midnight + timedelta(days=1))

    def splits(self, symbol: str | None = None) -> list[Split]:
        """Return no splits: the files tell of none."""
        return []

    def symbol_changes(self) -> list[SymbolChange]:
        """Return no changes: the files tell of none."""
        return []

    def _complete_daily(self, symbol: str) -> Bars:
        told = self._daily.get(symbol, np.empty(0, dtype=BARS_1D))
        minutes = self._minutes.get(symbol, np.empty(0, dtype=BARS_1M))
        known = set(told["session_date"].tolist())
        made = [row for row in _daily_rows(minutes) if row[0] not in known]
        bars = np.concatenate([told, np.array(made, dtype=BARS_1D)]) if made else told
        return bars[np.argsort(bars["session_date"], kind="stable")]


def _daily_rows(minutes: Bars) -> list[tuple[Any, ...]]:
    """Return (date, open, high, low, close, volume) of each session with RTH bars."""
    if not len(minutes):
        return []
    days = (minutes["bar_at"][[0, -1]] - np.timedelta64(5, "h")).astype("M8[D]").tolist()
    rows = []
    for session in sessions()[first_index(days[0]) : last_index(days[1]) + 1]:
        bars = _between(minutes, session.open_at, session.close_at)
        bars = bars[np.isfinite(bars["close"])]
        if len(bars):
            extremes = np.nanmax(bars["high"]), np.nanmin(bars["low"])
            once = np.unique(bars["bar_at"], return_index=True)[1]
            volume = np.nansum(bars["volume"][once])
            ends = bars["open"][0], bars["close"][-1]
            rows.append((session.session_date, ends[0], *extremes, ends[1], volume))
    return rows


def _between(bars: Bars, start: Any, end: Any) -> Bars:
    edges = [np.datetime64(start, "us"), np.datetime64(end, "us")]
    first, last = np.searchsorted(bars["bar_at"], edges)
    return bars[first:last]


def _by_symbol(
    path: Path, stamp: str, dtype: np.dtype[Any], wanted: set[str] | None = None
) -> dict[str, Bars]:
    """Return the file's bars by symbol, oldest first; of `wanted` symbols only, where given."""
    table = _read(path, ("symbol", stamp, *VALUES))
    encoded = table["symbol"].dictionary_encode().combine_chunks()
    names = [_canonical(name) for name in encoded.dictionary.to_pylist()]
    kept = sorted(set(names) if wanted is None else wanted & set(names))
    place = {name: code for code, name in enumerate(kept)}
    codes = np.array([place.get(name, -1) for name in names], dtype=int)[
        encoded.indices.to_numpy(zero_copy_only=False).astype(int)
    ]
    bars = _rows(path, table, stamp, dtype)
    assert dtype.names is not None
    if (codes < 0).any():
        bars, codes = bars[codes >= 0], codes[codes >= 0]
    stamps, steps = bars[dtype.names[0]], np.diff(codes)
    if not ((steps > 0) | ((steps == 0) & (stamps[1:] >= stamps[:-1]))).all():
        order = np.lexsort((stamps, codes))
        bars, codes = bars[order], codes[order]
    edges = np.searchsorted(codes, np.arange(len(kept) + 1))
    pieces = zip(kept, edges[:-1], edges[1:], strict=True)
    return {name: bars[first:last] for name, first, last in pieces}


def _rows(path: Path, table: pa.Table, stamp: str, dtype: np.dtype[Any]) -> Bars:
    bars = np.empty(len(table), dtype=dtype)
    assert dtype.names is not None
    unit = pa.timestamp("us") if stamp == "bar_at" else pa.date32()
    try:
        bars[dtype.names[0]] = table[stamp].cast(unit).to_numpy()
        for name in VALUES:
            bars[name] = table[name].cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{path} holds what is no bar: {error}") from error
    return bars


def _read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    if not path.is_file():
        raise ValueError(f"{path} is no file: give a Parquet or CSV file")
    reader = pyarrow.parquet.read_table if path.suffix == ".parquet" else pyarrow.csv.read_csv
    try:
        table = reader(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path} can't be read: expected Parquet or CSV ({error})") from error
    lacking = [name for name in columns if name not in table.column_names]
    if lacking:
        raise ValueError(
            f"{path} has no column {', '.join(lacking)}: expected {', '.join(columns)}"
        )
    return table


def _canonical(symbol: str) -> str:
    return str(symbol).strip().replace(".", "-")


def _word(row: dict[Any, Any], name: str) -> str | None:
    value = row.get(name)
    return value if isinstance(value, str) and value else None
