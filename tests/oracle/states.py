"""Section 8 of DESIGN.md as plain comparisons: the state of one bar."""

from __future__ import annotations

from collections.abc import Mapping


def state(
    features: Mapping[str, float | None], spread: float | None, rules: Mapping[str, float]
) -> dict[str, bool | str]:
    """State of a bar by its features and the spread that counts."""

    def at_least(name: str, least: float) -> bool:
        value = features[name]
        return value is not None and value >= least

    base_range = features["base_range"]
    is_quiet = base_range is not None and base_range <= rules["base_range_max"]
    is_pumped = at_least("gap", rules["gap_min"]) or at_least("prior_high_gain", rules["gap_min"])
    is_entry = (
        is_quiet
        and at_least("rvol_1m", rules["rvol_min"])
        and at_least("move_prev", rules["move_min"])
        and (spread is None or spread <= rules["spread_max"])
    )
    quiet_state = "Base" if is_pumped and is_quiet else "Pumped" if is_pumped else "Idle"
    entry_state = "RePump" if is_pumped else "FirstPump"
    return {
        "is_pumped": is_pumped,
        "is_base": is_pumped and is_quiet,
        "is_entry": is_entry,
        "state": entry_state if is_entry else quiet_state,
    }
