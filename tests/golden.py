"""The golden vectors of the live service's self-test: bars, and what the oracle makes of them.

`python -m tests.golden` writes live/golden/ anew, after a definition was changed on purpose: one
CSV per relation that the live views read, and marts.states_1m.csv with what they must give.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.calendar import market_calendar
from ingest.settings import ROOT
from ingest.simulator.generated import GeneratedMarket
from tests.oracle.features import atr5_pct, features, pump_days_60d, usual_volumes
from tests.oracle.market import Bar, DailyBar, Session, SymbolHistory
from tests.oracle.states import state

FOLDER = ROOT / "live" / "golden"
FIRST, DAY = date(2024, 8, 1), date(2024, 12, 20)
MINUTES_FROM = date(2024, 11, 18)
MINUTES = (range(-45, 75), range(389, 425))
"""Of the session: the end of PRE, the start of RTH, its last minute, the start of POST."""
RULES = {
    "gap_min": 0.02, "rvol_min": 1.2, "base_range_max": 0.08, "move_min": 0.002,
    "spread_max": 0.03, "cooldown_min": 15, "candidate_rvol_min": 1.0,
    "candidate_base_range_max": 0.1, "candidate_move_min": 0.001, "candidate_spread_max": 0.05,
}  # fmt: skip
"""Loose enough for every state to be there."""
QUOTED_EVERY = 7
Row = dict[str, Any]


def sessions() -> list[Session]:
    rows = market_calendar(FIRST, DAY).to_pylist()
    return [Session(*(row[name] for name in Session._fields)) for row in rows]


def golden_history(market: GeneratedMarket, symbol: str) -> SymbolHistory:
    """The symbol until the session, of which only some minutes are left."""
    calendar = sessions()
    minutes: dict[date, dict[str, list[Bar]]] = {}
    for session in calendar:
        if session.session_date < MINUTES_FROM:
            continue
        for row in market.minutes(symbol, session.session_date).tolist():
            bar_at, *values = row
            bar = Bar(session.minute(bar_at), *values)
            if session.session_date == DAY and not any(bar.minute in part for part in MINUTES):
                continue
            segment = "PRE" if bar_at < session.open_at else "RTH"
            segment = "POST" if bar_at >= session.close_at else segment
            minutes.setdefault(session.session_date, {}).setdefault(segment, []).append(bar)
    daily = [DailyBar(*row) for row in market.daily(symbol, FIRST, calendar[-2][0]).tolist()]
    splits = [(s.split_date, s.numerator / s.denominator) for s in market.splits(symbol)]
    return SymbolHistory(calendar, minutes, daily, splits)


def golden_rows() -> dict[str, list[Row]]:
    """Rows by relation."""
    market = GeneratedMarket()
    session = sessions()[-1]
    rows: dict[str, list[Row]] = {
        "published.intermediate.int_sessions": [{**session._asdict(), "session_number": 1}],
        "published.marts.signal_rules": [RULES],
    }
    for symbol in market.watchlist_grade()[:3]:
        for relation, found in symbol_rows(symbol, golden_history(market, symbol), session):
            rows.setdefault(relation, []).append(found)
    return rows


def symbol_rows(symbol: str, history: SymbolHistory, session: Session) -> Iterable[tuple[str, Row]]:
    """Inputs and outputs of one symbol."""
    key = {"symbol": symbol, "session_date": DAY}
    landed = {"provider": "fmp", "landed_at": session.post_close_at}
    series = history.daily_series(DAY)
    yield (
        "published.intermediate.int_daily_state",
        {
            **key,
            "previous_close": series[-1].close,
            "atr5_pct": atr5_pct(series),
            "pump_days_60d": pump_days_60d(series),
        },
    )
    for segment, bars in history.minutes[DAY].items():
        for index, bar in enumerate(bars):
            bar_at = session.open_at + timedelta(minutes=bar.minute)
            values = bar._asdict()
            del values["minute"]
            yield "raw.bars_1m", {**key, "bar_at": bar_at, **values, **landed}
            usual, so_far = usual_volumes(history, DAY, segment, bar.minute)
            yield (
                "published.intermediate.int_usual_volume_by_minute",
                {
                    **key,
                    "session_segment": segment,
                    "minute_of_session": bar.minute,
                    "bar_at": bar_at,
                    "usual_volume": usual,
                    "usual_volume_so_far": so_far,
                },
            )
            found = features(history, DAY, segment, index)
            spread, source = found["spread_est"], "estimated"
            if bar.minute % QUOTED_EVERY == 0:
                quote = quote_of(symbol, bar, bar_at)
                yield "raw.quotes", {**quote, **landed}
                spread = (quote["ask"] - quote["bid"]) / ((quote["ask"] + quote["bid"]) / 2)
                source = "quoted"
            yield (
                "marts.states_1m",
                {
                    "symbol": symbol,
                    "bar_at": bar_at,
                    "session_segment": segment,
                    **found,
                    "spread": spread,
                    "spread_source": source,
                    **state(found, spread, RULES),
                },
            )


def quote_of(symbol: str, bar: Bar, bar_at: datetime) -> Row:
    """A quote of the bar's last seconds."""
    return {
        "symbol": symbol,
        "quoted_at": bar_at + timedelta(seconds=50),
        "bid": round(bar.close * 0.995, 4),
        "ask": round(bar.close * 1.005, 4),
    }


def write(folder: Path) -> None:
    """Write a CSV per relation."""
    folder.mkdir(exist_ok=True)
    for relation, rows in golden_rows().items():
        with (folder / f"{relation}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    write(FOLDER)
