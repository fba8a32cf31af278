"""LIVE_FEED: which feed it makes, what it refuses, and the budget that live and jobs share."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from datetime import datetime, timedelta
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from pyrate_limiter import Duration

from ingest.budget import CallBudget, PlanLimits, StoppedError
from ingest.clock import Clock, SimulatedClock, parse_clock
from ingest.jobs import budget_path
from ingest.settings import FEEDS, Settings
from live.feeds.choice import chosen_feed, shared_budget
from live.feeds.failover import FailoverFeed
from live.feeds.fmp_stream import FmpStreamFeed
from live.feeds.poll import PollFeed
from live.feeds.stream import MassiveFeed
from live.serving import StartError
from tests.live_fixture import OPEN, HandClock
from tests.stream_fixture import polling, simulated_market

KEYS = {"fmp_api_key": SecretStr("demo"), "massive_api_key": SecretStr("demo")}


def unseen(*_: object, **__: object) -> None:
    """Look at no answer."""


def settings_in(data_dir: Path, **values: object) -> Settings:
    return Settings(data_dir=data_dir, _env_file=None, **values)  # type: ignore[arg-type, call-arg]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("poll", PollFeed),
        ("fmp_stream", FmpStreamFeed),
        ("massive", MassiveFeed),
        ("massive, poll", FailoverFeed),
        ("fmp_stream,massive", FailoverFeed),
    ],
)
def test_setting_names_the_feed(name: str, kind: type, tmp_path: Path) -> None:
    feed = chosen_feed(settings_in(tmp_path, live_feed=name, **KEYS), HandClock(OPEN), unseen)
    feed.close()
    assert isinstance(feed, kind)


@pytest.mark.parametrize("name", ["", "polled", "poll,fmp_stream", "massive,massive", "a,b,c"])
def test_other_feeds_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="massive,poll"):
        settings_in(tmp_path, live_feed=name)


@pytest.mark.parametrize(
    ("name", "missing"), [("massive", "MASSIVE_API_KEY"), ("fmp_stream", "FMP_API_KEY")]
)
def test_missing_key_is_named(name: str, missing: str, tmp_path: Path) -> None:
    keys = {key: value for key, value in KEYS.items() if key != missing.lower()}
    with pytest.raises(StartError, match=missing):
        chosen_feed(settings_in(tmp_path, live_feed=name, **keys), HandClock(OPEN), unseen)


@pytest.mark.parametrize("name", ["poll", "fmp_stream", "massive", "massive,poll"])
def test_settings_lead_to_the_market(name: str, tmp_path: Path) -> None:
    with simulated_market(OPEN + timedelta(minutes=5, seconds=6)) as market:
        settings = settings_in(
            tmp_path,
            live_feed=name,
            fmp_base_url=market.server.base_url,
            fmp_socket_url=market.sockets.fmp_url,
            massive_base_url=market.server.massive_url,
            massive_socket_url=market.sockets.massive_url,
            massive_calls_per_minute=100,
            **KEYS,
        )
        with polling(chosen_feed(settings, market.clock, unseen), market.clock) as polls:
            polls.until(lambda: polls.has_bars_to(OPEN + timedelta(minutes=5)))
            assert polls.feed.provider == FEEDS[name.split(",", maxsplit=1)[0]]


LIMITS = PlanLimits(60, Duration.MINUTE, name="sixty a minute")
SPEED = 60.0


def call_as_a_job(folder: str, clock_text: str, is_ready: Event, calls: Queue) -> None:
    """Spend as fast as a job is let, for some seconds."""
    clock = parse_clock(clock_text)
    budget = CallBudget(LIMITS, clock, path=budget_path(Path(folder), "fmp"))
    is_ready.set()
    calls.put([str(at) for at in spend(budget, clock)])


def spend(budget: CallBudget, clock: Clock) -> list[datetime]:
    made, until = [], time.monotonic() + 5
    while time.monotonic() < until:
        try:
            budget.acquire()
        except StoppedError:
            break
        made.append(clock.now())
    return made


def test_live_and_a_job_stay_within_one_plan(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    calls: Queue = context.Queue()
    clock = SimulatedClock.starting(OPEN, SPEED)
    is_ready = context.Event()
    job = context.Process(target=call_as_a_job, args=(str(tmp_path), str(clock), is_ready, calls))
    job.start()
    budget = shared_budget(settings_in(tmp_path), "fmp", LIMITS, clock)
    assert is_ready.wait(timeout=60)
    own = spend(budget, clock)
    jobs = [datetime.fromisoformat(text) for text in calls.get(timeout=30)]
    job.join(timeout=30)
    both = sorted([*own, *jobs])
    busiest = max(
        sum(at <= other < at + timedelta(minutes=1) for other in both) for at in both[::5]
    )
    assert own and jobs
    assert busiest <= LIMITS.calls


def test_live_starts_from_what_a_job_has_spent(tmp_path: Path) -> None:
    clock = HandClock(OPEN)
    job = CallBudget(LIMITS, clock, path=budget_path(tmp_path, "fmp"))
    for _ in range(7):
        job.acquire()
    assert shared_budget(settings_in(tmp_path), "fmp", LIMITS, clock).calls_used == 7


def test_providers_have_budgets_of_their_own(tmp_path: Path) -> None:
    clock = HandClock(OPEN)
    shared_budget(settings_in(tmp_path), "fmp", LIMITS, clock).acquire()
    used = Counter(
        {
            name: shared_budget(settings_in(tmp_path), name, LIMITS, clock).calls_used
            for name in ("fmp", "massive")
        }
    )
    assert used == Counter(fmp=1)
