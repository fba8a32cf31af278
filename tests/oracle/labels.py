"""Section 6 of DESIGN.md as plain loops, one bar at a time."""

from __future__ import annotations

from tests.oracle.market import Bar

UP, DOWN = 0.04, -0.015


def hit(horizon: list[Bar], entry: float, spread: float) -> bool:
    bought = entry * (1 + spread / 2)
    for bar in horizon:
        if bar.low * (1 - spread / 2) <= bought * (1 + DOWN):
            return False
        if bar.high * (1 - spread / 2) >= bought * (1 + UP):
            return True
    return False


def labels(
    bars: list[Bar], index: int, segment_end: int, spread: float | None
) -> dict[str, object]:
    """All labels of bar `index` of a segment that ends before minute `segment_end`."""
    after = bars[index + 1] if index + 1 < len(bars) else None
    has_entry = after is not None and after.minute <= bars[index].minute + 1 + 5
    row: dict[str, object] = {"entry_price": after.open if after and has_entry else None}
    for horizon_minutes in (30, 60):
        name = f"{horizon_minutes}m"
        complete = bool(after and has_entry and after.minute + horizon_minutes <= segment_end)
        row[f"is_complete_{name}"] = complete
        row |= {f"{k}_{name}": None for k in ("mfe", "mae", "hit")} | {f"hit_{name}_net": None}
        if not (complete and after):
            continue
        horizon = [b for b in bars[index + 1 :] if b.minute < after.minute + horizon_minutes]
        row[f"mfe_{name}"] = max(max(b.high for b in horizon) / after.open - 1, 0)
        row[f"mae_{name}"] = min(min(b.low for b in horizon) / after.open - 1, 0)
        row[f"hit_{name}"] = hit(horizon, after.open, 0)
        if spread is not None:
            row[f"hit_{name}_net"] = hit(horizon, after.open, spread)
    return row
