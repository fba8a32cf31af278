"""Why a symbol gives no signal now: what the rules say of its newest bar, in order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from live.signals import silent_until, utc_text


@dataclass(frozen=True)
class RuleCheck:
    """One rule and the bar: a row of marts.rule_checks_1m, or the cooldown."""

    rule: str
    value: float | None
    comparison: str
    """What the value must be to the threshold: >= or <=."""
    threshold: float
    threshold_name: str
    passes: bool
    is_required: bool
    """Whether there is no signal without it; without `pumped` the signal is a FirstPump."""
    fails_by: float | None
    """How far the value is on the wrong side; null where it passes or is unknown."""
    fails_by_fraction: float | None
    """fails_by / threshold."""
    null_rule: str | None
    """Where the value is unknown: when it is."""


@dataclass(frozen=True)
class Why:
    """Answer of GET /why/{symbol}. Ratios are plain fractions, times UTC text."""

    symbol: str
    session_date: str | None
    is_watched: bool
    explanation: str
    """All of the below in a sentence."""
    scanner: dict[str, Any] | None = None
    """The symbol's row of marts.scanner_outcomes for the session."""
    bar_at: str | None = None
    """Start of the newest closed bar, which the rules are applied to."""
    available_at: str | None = None
    bar_age_seconds: float | None = None
    """How long ago that bar closed."""
    state: str | None = None
    """The state as of that bar; RePump and FirstPump give a signal unless the cooldown holds."""
    first_failing: str | None = None
    """The first rule that the bar fails; null where it is a RePump outside the cooldown."""
    rules: Sequence[RuleCheck] = ()
    silent_until: str | None = None
    """The first bar that may give a signal again after the last one; null before any."""
    last_signal: dict[str, Any] | None = None
    """The symbol's last stored signal of the session: seq and bar_at."""


def cooldown_check(
    bar_at: datetime, last_signal_at: datetime | None, cooldown_min: int
) -> RuleCheck:
    """Return how the cooldown stands for a bar; the bar that gave the last signal passes."""
    since, passes, null_rule = None, True, None
    if last_signal_at is None:
        null_rule = "no signal of the symbol in this session"
    elif last_signal_at >= bar_at:
        null_rule = "the bar gave a signal itself"
    else:
        since = (bar_at - last_signal_at) / timedelta(minutes=1)
        passes = bar_at >= silent_until(last_signal_at, cooldown_min)
    lacks = None if passes or since is None else cooldown_min - since
    return RuleCheck(
        rule="cooldown", value=since, comparison=">=", threshold=cooldown_min,
        threshold_name="cooldown_min", passes=passes, is_required=True, fails_by=lacks,
        fails_by_fraction=lacks / cooldown_min if lacks else None, null_rule=null_rule,
    )  # fmt: skip


def first_failing(rules: Sequence[RuleCheck]) -> RuleCheck | None:
    """Return the first rule that fails, if any."""
    return next((check for check in rules if not check.passes), None)


def explain_bar(symbol: str, bar_at: datetime, state: str, rules: Sequence[RuleCheck]) -> str:
    """Return in a sentence what the rules say of a bar."""
    about = f"{symbol}'s bar of {utc_text(bar_at)} is {state}"
    failing = first_failing(rules)
    if failing is None:
        return f"{about}: it passes every rule"
    lacking = next((check for check in rules if not check.passes and check.is_required), None)
    if lacking is None:
        return f"{about}: it gives a signal, but no RePump as {describe(failing)}"
    return f"{about}: {describe(failing)}"


def explain_scanner(symbol: str, session_date: str, outcome: dict[str, Any] | None) -> str:
    """Return in a sentence why a symbol is not watched in a session."""
    about = f"{symbol} is not on the watchlist of {session_date}"
    if outcome is None:
        return f"{about}: the scanner knows no profile of it from before that session"
    if outcome["failed_step"] is None:
        return f"{about} yet: the snapshot has it, the service takes it in with its next tick"
    return (
        f"{about}: it fails the scanner's step {outcome['failed_step']} ({outcome['step_name']}), "
        f"which asks for {outcome['requirement']}"
    )


def describe(check: RuleCheck) -> str:
    """Return a failing rule in words."""
    bound = f"{check.comparison} {check.threshold:g} ({check.threshold_name})"
    if check.value is None:
        return f"{check.rule} is unknown ({check.null_rule}) and must be {bound}"
    by = "" if check.fails_by is None else f", fails by {check.fails_by:.3g}"
    share = "" if check.fails_by_fraction is None else f" ({check.fails_by_fraction:.1%})"
    return f"{check.rule} is {check.value:.4g} and must be {bound}{by}{share}"
