"""Bulk files: the whole market in one CSV."""

from __future__ import annotations

from ingest.simulator.answers import Answer, Params, csv, day_of, missing, required
from ingest.simulator.quotes import quote_of
from ingest.simulator.reference import profile_row
from ingest.simulator.view import View, adjusted

EOD_COLUMNS = ("symbol", "date", "open", "low", "high", "close", "adjClose", "volume")
PART_ROWS = 20_000


def eod_bulk(view: View, params: Params) -> Answer:
    """Answer `eod-bulk`: every symbol's bar of `date`, split-adjusted."""
    required(params, "date")
    day = day_of(params, "date")
    if day is None:
        return missing("date")
    lines = []
    for profile in view.profiles():
        bars = adjusted(view.daily(profile.symbol, day, day), view.known_splits(profile.symbol))
        for _, opening, high, low, close, volume in bars.tolist():
            lines.append((profile.symbol, str(day), opening, low, high, close, close, volume))
    return csv(EOD_COLUMNS, lines)


def profile_bulk(view: View, params: Params) -> Answer:
    """Answer `profile-bulk`: part 0 holds everything a market of this size has."""
    if required(params, "part") != "0":
        return missing("part")
    quotes = (quote_of(view, profile.symbol) for profile in view.profiles())
    found = [profile_row(view, quote) for quote in quotes if quote is not None]
    keys = list(found[0]) if found else []
    return csv(keys, [[row[key] for key in keys] for row in found])
