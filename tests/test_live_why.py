"""GET /why/{symbol}: the rules on the newest bar, the cooldown, and what the scanner says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from live.why import RuleCheck, cooldown_check, describe, explain_bar
from tests.live_fixture import bar, bars, build
from tests.live_server import Running, one_break_out, serving, wait_until

AT = datetime(2025, 11, 5, 15, 0)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with serving(build(tmp_path)) as service:
        wait_until(lambda: service.service.monitor.is_open)
        yield service


def land(running: Running, closes: list[float]) -> None:
    running.feed.bars = bars("AAA", running.clock.at, closes)
    running.clock.at += timedelta(minutes=len(closes))
    newest = running.clock.at - timedelta(minutes=1)
    wait_until(lambda: running.service.monitor.newest_bar_at == newest)


def check(rule: str, value: float | None, passes: bool, is_required: bool = True) -> RuleCheck:
    fails_by = None if passes or value is None else 2.0 - value
    return RuleCheck(
        rule, value, ">=", 2.0, f"{rule}_min", passes, is_required, fails_by,
        fails_by / 2.0 if fails_by else None, None if value is not None else "too few bars",
    )  # fmt: skip


def test_first_failing_rule_is_told_with_its_lack(running: Running) -> None:
    land(running, [5.0, 5.05])
    answer = running.get("/why/aaa").json()
    failing = next(rule for rule in answer["rules"] if rule["rule"] == answer["first_failing"])
    assert (failing["rule"], failing["passes"]) == ("move_prev", False)
    assert failing["fails_by"] == pytest.approx(0.02)
    assert failing["fails_by_fraction"] == pytest.approx(2 / 3)


def test_newest_bar_is_the_one_explained(running: Running) -> None:
    land(running, [5.0, 5.05])
    answer = running.get("/why/AAA").json()
    assert (answer["bar_at"], answer["state"]) == ("2025-11-05T15:01:00Z", "Idle")


def test_unknown_value_is_explained(running: Running) -> None:
    land(running, [5.0])
    (unknown,) = [r for r in running.get("/why/AAA").json()["rules"] if r["rule"] == "move_prev"]
    assert (unknown["value"], unknown["null_rule"]) == (None, "no bar before")


def test_bar_that_gave_a_signal_fails_nothing(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: running.service.broadcaster.last_seq == 1)
    answer = running.get("/why/AAA").json()
    assert (answer["state"], answer["first_failing"]) == ("RePump", None)
    assert answer["last_signal"]["seq"] == 1


def test_cooldown_says_until_when(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: running.service.broadcaster.last_seq == 1)
    running.feed.bars.append(bar("AAA", running.clock.at, 5.5))
    running.clock.at += timedelta(minutes=1)
    wait_until(lambda: running.get("/why/AAA").json()["first_failing"] == "cooldown")
    answer = running.get("/why/AAA").json()
    assert (answer["rules"][-1]["value"], answer["rules"][-1]["fails_by"]) == (1.0, 14.0)
    assert answer["silent_until"] == "2025-11-05T15:16:00Z"


def test_watched_symbol_without_a_bar_is_told(running: Running) -> None:
    answer = running.get("/why/brk.b").json()
    assert (answer["is_watched"], answer["bar_at"], answer["rules"]) == (True, None, [])
    assert "no bar" in answer["explanation"]


def test_symbol_off_the_list_has_its_scanner_step(running: Running) -> None:
    answer = running.get("/why/BIG").json()
    assert (answer["is_watched"], answer["scanner"]["failed_step"]) == (False, 2)
    assert "market_cap up to 1.5e9" in answer["explanation"]


def test_symbol_that_the_scanner_does_not_know_is_told(running: Running) -> None:
    answer = running.get("/why/NOPE").json()
    assert (answer["is_watched"], answer["scanner"]) == (False, None)


@pytest.mark.parametrize("route", ["why", "bars", "features"])
@pytest.mark.parametrize(
    "symbol",
    ["A'--", "%27%20or%201=1--", "..%2F..%2Fetc", "A%00B", "A" * 17, "%22;drop", "A%0AB"],
)
def test_symbol_that_is_none_is_refused(running: Running, route: str, symbol: str) -> None:
    assert running.get(f"/{route}/{symbol}").status_code in (400, 404)
    assert running.get("/").status_code == 200


def test_first_bar_after_the_cooldown_passes() -> None:
    last = AT - timedelta(minutes=15)
    assert cooldown_check(AT, last, 15).passes
    assert not cooldown_check(AT - timedelta(minutes=1), last, 15).passes


def test_no_cooldown_before_any_signal() -> None:
    assert cooldown_check(AT, None, 15).passes


def test_first_pump_is_explained_as_a_signal() -> None:
    rules = [check("pumped", 1.5, False, is_required=False), check("rvol_1m", 3.0, True)]
    assert "gives a signal, but no RePump" in explain_bar("AAA", AT, "FirstPump", rules)


def test_unknown_value_is_put_in_words() -> None:
    assert describe(check("rvol_1m", None, False)) == (
        "rvol_1m is unknown (too few bars) and must be >= 2 (rvol_1m_min)"
    )


def test_lack_is_put_in_words() -> None:
    assert describe(check("rvol_1m", 1.5, False)) == (
        "rvol_1m is 1.5 and must be >= 2 (rvol_1m_min), fails by 0.5 (25.0%)"
    )
