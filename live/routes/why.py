"""GET /why/{symbol}: what keeps a symbol from a signal now."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from litestar import get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException

from live.answers import Row, to_json
from live.routes.symbols import Symbol, canonical
from live.service import Service
from live.signals import silent_until, utc_text
from live.why import (
    RuleCheck,
    Why,
    cooldown_check,
    explain_bar,
    explain_scanner,
    first_failing,
)

OF_THE_SYMBOL = "where session_date = $session_date and symbol = $symbol"

NEWEST_RULES = f"""
select state, bar_at, available_at, rule, value, comparison, threshold, threshold_name,
    passes, is_required, fails_by, fails_by_fraction, null_rule
from marts.rule_checks_1m {OF_THE_SYMBOL}
qualify rank() over (order by bar_at desc) = 1
order by ordinal
"""
LAST_SIGNAL = f"select seq, bar_at from raw.signals {OF_THE_SYMBOL} order by seq desc limit 1"
SCANNED = f"from published.marts.scanner_outcomes {OF_THE_SYMBOL}"


@get("/why/{symbol:str}", sync_to_thread=True)
def why(state: State, symbol: Symbol) -> Why:
    """Why a symbol gives no signal now: each rule on its newest bar, the first that fails and by
    how much, the cooldown; for a symbol that is not watched, what the scanner says of it."""
    service: Service = state.service
    session = service.monitor.session
    if session is None:
        raise NotFoundException("there is no session to come: run make ingest")
    return _answer(service, canonical(symbol), session.session_date)


def _answer(service: Service, symbol: str, session_date: date) -> Why:
    of_the_symbol = {"symbol": symbol, "session_date": session_date}
    scanned = service.warehouse.read(SCANNED, of_the_symbol)
    scanner = to_json(scanned[0]) if scanned else None
    rows = service.warehouse.read(NEWEST_RULES, of_the_symbol)
    is_watched = symbol in service.monitor.watchlist
    if not is_watched:
        explanation = explain_scanner(symbol, session_date.isoformat(), scanner)
    else:
        explanation = f"{symbol} is watched but has no bar in the session of {session_date} yet"
    common = (symbol, session_date.isoformat(), is_watched)
    if not rows:
        return Why(*common, explanation, scanner)
    bar_at, state = rows[0]["bar_at"], rows[0]["state"]
    rules = _rules(service, symbol, rows)
    failing = first_failing(rules)
    return Why(
        *common,
        explanation=explain_bar(symbol, bar_at, state, rules) if is_watched else explanation,
        scanner=scanner,
        bar_at=utc_text(bar_at),
        available_at=utc_text(rows[0]["available_at"]),
        bar_age_seconds=(service.clock.now() - rows[0]["available_at"]).total_seconds(),
        state=state,
        first_failing=failing.rule if failing else None,
        rules=rules,
        silent_until=_silent_until(service, symbol),
        last_signal=_last_signal(service, of_the_symbol),
    )


def _rules(service: Service, symbol: str, rows: list[Row]) -> list[RuleCheck]:
    names = RuleCheck.__dataclass_fields__
    checks = [RuleCheck(**{name: row[name] for name in names}) for row in rows]
    last_at = service.monitor.last_signal_at(symbol)
    cooldown_min = service.warehouse.rules().cooldown_min
    return [*checks, cooldown_check(rows[0]["bar_at"], last_at, cooldown_min)]


def _silent_until(service: Service, symbol: str) -> str | None:
    last_at: datetime | None = service.monitor.last_signal_at(symbol)
    if last_at is None:
        return None
    return utc_text(silent_until(last_at, service.warehouse.rules().cooldown_min))


def _last_signal(service: Service, of_the_symbol: dict[str, Any]) -> Row | None:
    rows = service.warehouse.read(LAST_SIGNAL, of_the_symbol)
    return to_json(rows[0]) if rows else None
