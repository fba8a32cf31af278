"""The universe: every listed symbol, from the exchanges' master files `data/*.txt`.

Two formats are known by their header line: EODData's (tab separated, one file per exchange, named
after it) and NASDAQ Trader's (pipes, a trailer line; nasdaqlisted, otherlisted, nasdaqtraded).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

Format = Literal["eoddata", "nasdaq_trader"]

EXCHANGE_CODES = {
    "A": "AMEX",
    "M": "CHX",
    "N": "NYSE",
    "P": "ARCA",
    "Q": "NASDAQ",
    "V": "IEX",
    "Z": "BATS",
}
"""Exchange letters of NASDAQ Trader's files. Source: nasdaqtrader.com, symbol directory."""

EXCHANGE_NAMES = {*EXCHANGE_CODES.values(), "OTCBB", "OTC", "PINK"}
TRAILER = "File Creation Time"
ETF_WORDS = re.compile(r"\b(ETFs?|ETNs?|Exchange[- ]Traded)\b", re.IGNORECASE)
TEST_WORDS = re.compile(r"\bTest (Stock|Issue|Symbol|Company|Security)\b", re.IGNORECASE)


class MasterFileError(ValueError):
    """A file that is no list of symbols; the message names it and says what was expected."""


@dataclass(frozen=True)
class Listing:
    """One symbol as a master file lists it. None where the format does not tell."""

    symbol: str
    exchange: str | None
    name: str | None
    is_etf: bool | None
    is_test_issue: bool | None


@dataclass(frozen=True)
class Master:
    """A master file that was read."""

    path: Path
    format: Format
    listings: list[Listing]
    notes: tuple[str, ...] = ()
    """What a user should know about the file, a line each."""


def canonical_symbol(symbol: str) -> str:
    """Return the provider's spelling of a listed symbol: class shares with a hyphen (BRK-B)."""
    return symbol.strip().upper().replace(".", "-")


def read_master(path: Path) -> Master:
    """Read one master file. Raises MasterFileError for an empty file or an unknown format."""
    lines = [line for line in re.split(r"\r\n|\n|\r", _text(path)) if line.strip()]
    if not lines:
        raise MasterFileError(
            f"{path.name} is empty: expected a list of symbols with a header line"
        )
    header = lines[0]
    if "|" in header:
        return _read_nasdaq_trader(path, lines)
    if [name.strip().lower() for name in header.split("\t")] == ["symbol", "description"]:
        return _read_eoddata(path, lines)
    raise MasterFileError(
        f"{path.name} is in no format that is known: its first line is {header[:60]!r}, expected "
        "'Symbol<tab>Description' (EODData) or 'Symbol|Security Name|…' (NASDAQ Trader)"
    )


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _read_eoddata(path: Path, lines: list[str]) -> Master:
    exchange = path.stem.upper()
    listings = []
    for line in lines[1:]:
        symbol, _, description = line.partition("\t")
        name = description.strip() or None
        is_etf = True if name and ETF_WORDS.search(name) else None
        is_test = True if name and TEST_WORDS.search(name) else None
        listings.append(Listing(canonical_symbol(symbol), exchange, name, is_etf, is_test))
    notes = []
    if exchange not in EXCHANGE_NAMES:
        notes.append(
            f"{path.name}: the file name gives the exchange, and {exchange} is none that is known: "
            "rename it to AMEX.txt, NASDAQ.txt or NYSE.txt"
        )
    return Master(path, "eoddata", listings, tuple(notes))


def _read_nasdaq_trader(path: Path, lines: list[str]) -> Master:
    names = [name.strip() for name in lines[0].split("|")]
    symbol_column = "ACT Symbol" if "ACT Symbol" in names else "Symbol"
    missing = {symbol_column, "Security Name"} - set(names)
    if missing:
        raise MasterFileError(f"{path.name} has no column {' and no '.join(sorted(missing))}")
    has_trailer = lines[-1].startswith(TRAILER)
    rows = [dict(zip(names, line.split("|"), strict=False)) for line in lines[1:]]
    rows = rows[:-1] if has_trailer else rows
    notes = [] if has_trailer else [f"{path.name}: no trailer line, so it may be cut off"]
    short = sum(len(row) < len(names) for row in rows)
    if short:
        notes.append(f"{path.name}: {short} lines have fewer than {len(names)} fields")
    listings = [_nasdaq_trader_listing(row, symbol_column) for row in rows]
    unknown = sorted({listing.exchange or "" for listing in listings} - EXCHANGE_NAMES)
    if unknown:
        notes.append(f"{path.name}: unknown exchange codes {', '.join(unknown)}, kept as they are")
    return Master(path, "nasdaq_trader", listings, tuple(notes))


def _nasdaq_trader_listing(row: dict[str, str], symbol_column: str) -> Listing:
    code = row.get("Exchange", row.get("Listing Exchange", "Q")).strip()
    return Listing(
        symbol=canonical_symbol(row[symbol_column]),
        exchange=EXCHANGE_CODES.get(code, code) or None,
        name=row.get("Security Name", "").strip() or None,
        is_etf=_flag(row.get("ETF")),
        is_test_issue=_flag(row.get("Test Issue")),
    )


def _flag(text: str | None) -> bool | None:
    return {"Y": True, "N": False}.get((text or "").strip().upper())


def merge_masters(masters: Iterable[Master]) -> dict[Format, list[Listing]]:
    """Return each symbol once, under the format it comes from: NASDAQ Trader's lists win."""
    by_symbol: dict[str, tuple[Format, Listing]] = {}
    for master in sorted(masters, key=lambda m: (m.format == "nasdaq_trader", m.path.name)):
        for listing in master.listings:
            by_symbol[listing.symbol] = (master.format, listing)
    merged: dict[Format, list[Listing]] = {"eoddata": [], "nasdaq_trader": []}
    for source, listing in by_symbol.values():
        merged[source].append(listing)
    return merged


def listings_table(listings: list[Listing]) -> pa.Table:
    """Return listings with raw.universe's columns."""
    return pa.table(
        {
            "symbol": pa.array([row.symbol for row in listings], pa.string()),
            "exchange": pa.array([row.exchange for row in listings], pa.string()),
            "name": pa.array([row.name for row in listings], pa.string()),
            "is_etf": pa.array([row.is_etf for row in listings], pa.bool_()),
            "is_test_issue": pa.array([row.is_test_issue for row in listings], pa.bool_()),
        }
    )
