"""How late a stream is, in words. Pure."""

from __future__ import annotations

from collections.abc import Collection

BEHIND = -1.0
"""Seconds: a bar that comes before its minute has ended tells that this clock is slow."""


def lag_note(what: str, lags: Collection[float]) -> list[str]:
    """Return one line about `lags` (seconds from a bar's end to its arrival); none without any."""
    if not lags:
        return []
    ordered = sorted(lags)
    median, late = ordered[len(ordered) // 2], ordered[(len(ordered) * 95) // 100]
    if median < BEHIND:
        return [
            f"{what} come {-median:.1f} s before their minute ends: this machine's clock is slow"
        ]
    return [
        f"{what} come {median:.1f} s after their minute ends (median of the last {len(ordered)}; "
        f"95 of 100 within {late:.1f} s)"
    ]
