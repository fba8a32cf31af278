"""GET /why/{symbol}: what keeps a symbol from a signal now."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date

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
    scanner = _first_row(service, SCANNED, of_the_symbol)
    is_watched = symbol in service.monitor.watchlist
    if is_watched:
        explanation = f"{symbol} is watched but has no bar in the session of {session_date} yet"
    else:
        explanation = explain_scanner(symbol, session_date.isoformat(), scanner)
    about = Why(symbol, session_date.isoformat(), is_watched, explanation, scanner)
    rows = service.warehouse.read(NEWEST_RULES, of_the_symbol)
    if not rows:
        return about
    last_signal = _first_row(service, LAST_SIGNAL, of_the_symbol)
    return replace(_with_bar(service, about, rows), last_signal=last_signal)


def _with_bar(service: Service, about: Why, rows: list[Row]) -> Why:
    """Return the answer with what the rules say of the newest bar."""
    bar_at, available_at, state = (rows[0][name] for name in ("bar_at", "available_at", "state"))
    last_at = service.monitor.last_signal_at(about.symbol)
    cooldown_min = service.warehouse.rules().cooldown_min
    rules = [*_checks(rows), cooldown_check(bar_at, last_at, cooldown_min)]
    failing = first_failing(rules)
    return replace(
        about,
        explanation=explain_bar(about.symbol, bar_at, state, rules)
        if about.is_watched
        else about.explanation,
        bar_at=utc_text(bar_at),
        available_at=utc_text(available_at),
        bar_age_seconds=(service.clock.now() - available_at).total_seconds(),
        state=state,
        first_failing=failing.rule if failing else None,
        rules=rules,
        silent_until=utc_text(silent_until(last_at, cooldown_min)) if last_at else None,
    )


def _checks(rows: list[Row]) -> list[RuleCheck]:
    names = [field.name for field in fields(RuleCheck)]
    return [RuleCheck(**{name: row[name] for name in names}) for row in rows]


def _first_row(service: Service, query: str, of_the_symbol: Row) -> Row | None:
    rows = service.warehouse.read(query, of_the_symbol)
    return to_json(rows[0]) if rows else None
