"""One run through the simulated week: the real service, its clock moved tick by tick."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

from ingest.settings import Settings
from live.app import create_app
from live.checks import ClockCheck
from live.service import Service
from live.sessions import Session
from live.warehouse import open_live
from tests.bench.live_kills import Witness, catch_up
from tests.bench.week_feeds import make_feed
from tests.bench.week_market import (
    MarketProcess,
    Spell,
    Weather,
    market_process,
    weather_at,
)
from tests.live_server import served

STEP = timedelta(seconds=30)
"""Of the market's clock, from one tick of the service to the next."""
MINUTE = timedelta(minutes=1)
TICK_SECONDS = 120.0
"""Real seconds after which a tick that does not end is an error."""
CLEAR = Weather()

Stretch = tuple[float, float]
"""From and to, in minutes since the open: what is played of a session."""


@dataclass(frozen=True)
class Plan:
    """A run: where, on which feed, which sessions, and what goes wrong (None: nothing)."""

    data_dir: Path
    feed: str
    dbt_vars: str
    session_dates: Sequence[date]
    spells: Sequence[Spell] | None
    stretches: Sequence[Stretch] = ((-331.0, 1e6),)


@dataclass
class Ran:
    """What a run came to, besides what is in its warehouse."""

    memory_mb: list[float] = field(default_factory=list)
    """After each session."""
    ticks: int = 0
    failed_ticks: int = 0
    requests: int = 0
    late_entries: int = 0
    flushes: int = 0
    sent: dict[int, str] = field(default_factory=dict)
    """What a client was sent, by seq."""
    sent_twice: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    """What the health told: ticks by part."""


@dataclass
class SteppedClock:
    """The service's clock: the market's, or set wrong; `speed` is what it comes to about."""

    at: datetime
    skew: timedelta = timedelta(0)
    speed: float = 400.0

    def now(self) -> datetime:
        """Return the time."""
        return self.at + self.skew


def play(plan: Plan) -> Ran:
    """Run the service through the sessions of the plan without a restart."""
    settings = settings_of(plan.data_dir, plan.dbt_vars)
    sessions = sessions_of(settings.published_path, plan.session_dates)
    start = sessions[0].pre_open_at - timedelta(hours=1)
    clock, ran = SteppedClock(start), Ran()
    with (
        market_process(start) as market,
        open_live(settings.live_path, settings.published_path) as warehouse,
    ):
        check = ClockCheck(clock)
        feed = make_feed(plan.feed, market.addresses, clock, check.see)
        app = create_app(settings, clock, feed, warehouse, clock_check=check)
        service: Service = app.state.service
        ticked = ticks_of(service)
        with served(app) as (address, _), listening(address, ran):
            for number, session in enumerate(sessions):
                for moment, weather in moments(plan, number, session):
                    step(market, clock, ticked, moment, weather)
                    ran.problems.update(service.monitor.problems.keys() - {"model"})
                ran.memory_mb.append(memory_mb(service))
    ran.faults = market.counts
    _take_counts(ran, service)
    return ran


def settings_of(data_dir: Path, dbt_vars: str) -> Settings:
    """Return the settings of a run, which ignore the environment."""
    return Settings(
        data_dir=data_dir,
        dbt_vars=dbt_vars,
        live_tick_seconds=STEP.total_seconds(),
        live_min_free_mb=0,
        live_token=None,
        _env_file=None,
    )  # type: ignore[call-arg]


def sessions_of(snapshot: Path, dates: Sequence[date]) -> list[Session]:
    """Return sessions of a snapshot."""
    with duckdb.connect(str(snapshot), read_only=True) as connection:
        rows = connection.execute(
            "select session_date, pre_open_at, open_at, close_at, post_close_at "
            "from marts.market_sessions where session_date in (select unnest($dates)) order by 1",
            {"dates": list(dates)},
        ).fetchall()
    return [Session(*row) for row in rows]


def moments(plan: Plan, number: int, session: Session) -> Iterator[tuple[datetime, Weather]]:
    """Return each moment of a session that is played, and its weather; calm once it is over."""
    moment, end = session.pre_open_at - MINUTE, session.ends_at + 2 * MINUTE
    while moment <= end:
        minute = (moment - session.open_at) / MINUTE
        is_played = any(first <= minute < last for first, last in plan.stretches)
        if is_played or moment > end - 5 * MINUTE:
            is_calm = plan.spells is None or moment > session.ends_at
            yield moment, CLEAR if is_calm else weather_at(plan.spells or (), number, minute)
        moment += STEP


def ticks_of(service: Service) -> threading.Event:
    """Return an event that is set at the end of every tick of the service."""
    ticked, tick = threading.Event(), service.monitor.tick

    def observed() -> object:
        try:
            return tick()
        finally:
            ticked.set()

    service.monitor.tick = observed  # type: ignore[method-assign,assignment]
    return ticked


def step(
    market: MarketProcess,
    clock: SteppedClock,
    ticked: threading.Event,
    moment: datetime,
    weather: Weather,
) -> None:
    """Move market and service on, and wait for the service's tick."""
    ticked.clear()
    market.be(moment, weather)
    clock.at, clock.skew = moment, weather.skew
    assert ticked.wait(TICK_SECONDS), f"no tick ended within {TICK_SECONDS} s at {moment}"


@contextmanager
def listening(address: str, ran: Ran) -> Iterator[None]:
    """Have a client follow the signals, and keep what it was sent."""
    witness = Witness(int(address.rpartition(":")[2]))
    thread = threading.Thread(target=witness.listen)
    thread.start()
    try:
        yield
        catch_up(witness)
    finally:
        witness.is_over.set()
        thread.join()
        ran.sent, ran.sent_twice = witness.signals, witness.twice


def memory_mb(service: Service) -> float:
    """Return the resident memory of this process, as /metrics tells it."""
    resident = service.metrics.registry.get_sample_value("process_resident_memory_bytes")
    return (resident or 0.0) / 1e6


def _take_counts(ran: Ran, service: Service) -> None:
    counts = service.monitor.counts
    ran.ticks, ran.failed_ticks, ran.requests = counts.ticks, counts.failed_ticks, counts.requests
    ran.late_entries, ran.flushes = counts.late_entries, counts.flushes


def copy_morning(morning: Path, data_dir: Path) -> None:
    """Make a run's folder: the warehouse before the week, the snapshot, the views of live.

    What dbt keeps of its parsing comes along.
    """
    data_dir.mkdir()
    for name in ("published", "target"):
        shutil.copytree(morning / name, data_dir / name, symlinks=True)
    for name in ("warehouse.duckdb", "live.duckdb"):
        shutil.copyfile(morning / name, data_dir / name)
