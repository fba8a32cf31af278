"""How the service is: what GET / says. Pure, from what the monitor knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from live.broadcast import Broadcaster
from live.messages import Status
from live.signals import utc_text

if TYPE_CHECKING:
    from live.monitor import Monitor

STALE_AFTER = timedelta(minutes=5)
"""In regular hours, a watchlist without any new bar for longer is a problem."""

NO_MODEL = "no model is promoted, signals go without a score: run make train"


@dataclass(frozen=True)
class Health:
    """Answer of GET /. Times are UTC, ISO text; `lag_seconds` counts from the newest bar's end."""

    status: Status
    """ok, waiting (no session now) or degraded (see problems and failures)."""
    now: str
    uptime_seconds: float
    session_date: str | None
    session_segment: str | None
    pre_open_at: str | None
    open_at: str | None
    close_at: str | None
    post_close_at: str | None
    watchlist: int
    last_bar_at: dict[str, str | None]
    lag_seconds: float | None
    clients: int
    last_seq: int
    model_run: str | None
    snapshot: str
    problems: dict[str, str]
    failures: dict[str, str]
    notes: list[str]
    counts: dict[str, int]


def describe(
    monitor: Monitor,
    broadcaster: Broadcaster,
    *,
    now: datetime,
    provider: str,
    notes: Sequence[str],
    model_run: str | None,
    snapshot: str,
) -> Health:
    """Return the service's health."""
    session, newest = monitor.session, monitor.newest_bar_at
    segment = session.segment_at(now) if session else None
    lag = now - newest - timedelta(minutes=1) if newest and monitor.is_open else None
    problems = dict(monitor.problems)
    is_due = session is not None and segment == "RTH" and now > session.open_at + STALE_AFTER
    if is_due and monitor.watchlist and (lag is None or lag > STALE_AFTER):
        problems["staleness"] = f"no new bar for more than {STALE_AFTER.seconds // 60} minutes"
    failures = dict(monitor.failures)
    no_model = [] if model_run or "model" in problems else [NO_MODEL]
    quiet: Status = "ok" if monitor.is_open else "waiting"
    return Health(
        status="degraded" if problems or failures else quiet,
        now=utc_text(now, milliseconds=True),
        uptime_seconds=round((now - monitor.started_at).total_seconds(), 3),
        session_date=session.session_date.isoformat() if session else None,
        session_segment=segment,
        pre_open_at=utc_text(session.pre_open_at) if session else None,
        open_at=utc_text(session.open_at) if session else None,
        close_at=utc_text(session.close_at) if session else None,
        post_close_at=utc_text(session.post_close_at) if session else None,
        watchlist=len(monitor.watchlist),
        last_bar_at={provider: utc_text(newest) if newest else None},
        lag_seconds=round(lag.total_seconds(), 3) if lag is not None else None,
        clients=broadcaster.clients,
        last_seq=broadcaster.last_seq,
        model_run=model_run,
        snapshot=snapshot,
        problems=problems,
        failures=failures,
        notes=[*notes, *no_model],
        counts=_counts(monitor, broadcaster),
    )


def _counts(monitor: Monitor, broadcaster: Broadcaster) -> dict[str, int]:
    counts = monitor.counts
    return {
        "ticks": counts.ticks,
        "failed_ticks": counts.failed_ticks,
        "requests": counts.requests,
        "bars_inserted": counts.bars.inserted,
        "bars_revised": counts.bars.revised,
        "bars_rejected": counts.bars.rejected,
        "signals": counts.signals,
        "late_entries": counts.late_entries,
        "provisional": counts.provisional["provisional"],
        "confirmed": counts.provisional["confirmed"],
        "retracted": counts.provisional["retracted"],
        "flushes": counts.flushes,
        "client_gaps": broadcaster.gaps,
    }
