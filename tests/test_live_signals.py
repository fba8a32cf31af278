"""Signals: the payload as the contract has it, and the cooldown."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

from live.messages import Rules
from live.signals import Entry, Score, cooldown, make_signal
from tests.live_fixture import DAY

RULES = Rules(0.08, 2.0, 0.012, 15, 0.06, 0.03)
BAR_AT = datetime(2025, 11, 5, 12, 33)
ENTRY = Entry(
    "ABCD", DAY, "RTH", BAR_AT, datetime(2025, 11, 5, 12, 34), "RePump",
    5.67, 5.60, 3.2, 0.045, 0.011, "estimated", 0.038,
)  # fmt: skip


def at(minute: int) -> datetime:
    return datetime(2025, 11, 5, 15, 0) + timedelta(minutes=minute)


def payload_of(entry: Entry = ENTRY, score: Score = Score()) -> str:  # noqa: B008 it is frozen
    emitted_at = datetime(2025, 11, 5, 12, 34, 56, 789_000)
    return make_signal(entry, RULES, score, seq=17, emitted_at=emitted_at).payload


def test_payload_is_the_contracts() -> None:
    assert payload_of() == (
        '{"t":"2025-11-05T12:34:56.789Z","session":"RTH","symbol":"ABCD",'
        '"state":"RePump","price":5.67,"vwap":5.6,"rvol_1m":3.2,"base_range_pct":4.5,'
        '"spread_pct":1.1,"move_pct":3.8,"score":null,"thr":null,'
        '"rules_used":{"gap_min":0.08,"rvol_min":2.0,"spread_max":0.012,'
        '"cooldown_min":15,"base_range_max":0.06,"move_min":0.03},'
        '"seq":17,"bar_at":"2025-11-05T12:33:00Z","spread_source":"estimated",'
        '"model_run":null}'
    )


def test_payload_rounds_ratios_not_prices() -> None:
    entry = replace(ENTRY, close=0.123456, rvol_1m=12.345678, move_prev=0.0333333333)
    sent = json.loads(payload_of(entry, Score(0.654321, 0.5, "run-1")))
    found = [sent[name] for name in ("price", "rvol_1m", "move_pct", "score", "model_run")]
    assert found == [0.123456, 12.35, 3.333, 0.6543, "run-1"]


def test_unknown_and_infinite_numbers_are_null() -> None:
    sent = json.loads(payload_of(replace(ENTRY, spread=None, vwap=None, rvol_1m=float("inf"))))
    assert (sent["spread_pct"], sent["vwap"], sent["rvol_1m"]) == (None, None, None)


def test_symbol_is_silent_until_the_cooldown_ends() -> None:
    entries = [("A", at(minute)) for minute in (0, 1, 14, 15, 29, 30)]
    assert cooldown(entries, 15, {}) == [("A", at(0)), ("A", at(15)), ("A", at(30))]


def test_silent_entries_do_not_prolong_the_silence() -> None:
    entries = [("A", at(minute)) for minute in (0, 10, 20)]
    assert cooldown(entries, 15, {}) == [("A", at(0)), ("A", at(20))]


def test_symbols_cool_down_apart_in_time_order() -> None:
    entries = [("B", at(1)), ("A", at(1)), ("C", at(0)), ("A", at(2))]
    assert cooldown(entries, 15, {}) == [("C", at(0)), ("A", at(1)), ("B", at(1))]


def test_earlier_signals_count() -> None:
    last = {"A": at(0)}
    assert cooldown([("A", at(14)), ("A", at(15))], 15, last) == [("A", at(15))]


def test_evaluating_again_gives_nothing_even_without_cooldown() -> None:
    entries = [("A", at(0)), ("A", at(1))]
    assert cooldown(entries, 0, {"A": at(1)}) == []
