"""The feed that LIVE_FEED names, with its clients; live and the jobs share each budget.

Calls are counted in the file of the data folder that the jobs count theirs in, so that both
together stay within the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import requests
from pydantic import SecretStr
from pyrate_limiter import Duration

from ingest.budget import PLANS, CallBudget, PlanLimits, Spent, logged_calls
from ingest.clock import Clock
from ingest.jobs import budget_path
from ingest.providers import fmp, massive
from ingest.providers.fmp import FmpClient
from ingest.providers.massive import MassiveClient
from ingest.runs import http_session
from ingest.settings import Settings
from ingest.warehouse import open_database
from live.feeds.connection import StreamConnection
from live.feeds.failover import FailoverFeed, Named, StandbyFeed
from live.feeds.fmp_socket import FmpDialogue
from live.feeds.fmp_stream import FmpStreamFeed
from live.feeds.massive_socket import MassiveDialogue
from live.feeds.poll import PollFeed
from live.feeds.stream import MassiveFeed
from live.serving import StartError

CONNECTIONS = 16


OnResponse = Callable[..., object]
"""A `requests` response hook."""


def chosen_feed(
    settings: Settings, clock: Clock, on_response: OnResponse
) -> StandbyFeed | FailoverFeed:
    """Return the feed of the real market, or of a simulated one behind the same interfaces.

    `on_response` sees every answer over HTTP. Raises StartError where its key is missing.
    """
    first, *second = [
        Named(name, _MAKERS[name](settings, clock, on_response))
        for name in settings.live_feed.split(",")
    ]
    if not second:
        return first.feed
    return FailoverFeed(first, second[0], timedelta(seconds=settings.live_stale_seconds))


def _poll(settings: Settings, clock: Clock, on_response: OnResponse) -> PollFeed:
    client = _fmp_client(settings, clock, on_response)
    return PollFeed(client, clock, on_close=client.budget.stop)


def _fmp_stream(settings: Settings, clock: Clock, on_response: OnResponse) -> FmpStreamFeed:
    client = _fmp_client(settings, clock, on_response)
    dialogue = FmpDialogue(_key(settings.fmp_api_key, "FMP_API_KEY"))
    connection = StreamConnection(settings.fmp_socket_url, dialogue, clock)
    return FmpStreamFeed(
        client, connection, clock, client.budget.charge, on_close=client.budget.stop
    )


def _massive(settings: Settings, clock: Clock, on_response: OnResponse) -> MassiveFeed:
    key = _key(settings.massive_api_key, "MASSIVE_API_KEY")
    calls, url = settings.massive_calls_per_minute, settings.massive_base_url
    limits = PlanLimits(calls, Duration.MINUTE, name=f"MASSIVE_CALLS_PER_MINUTE={calls}")
    budget = shared_budget(settings, massive.PROVIDER, limits, clock)
    client = MassiveClient(url, key, budget, clock, _session(url, on_response))
    connection = StreamConnection(settings.massive_socket_url, MassiveDialogue(key), clock)
    return MassiveFeed(
        client, connection, clock, has_seconds=settings.live_second_bars, on_close=budget.stop
    )


_MAKERS: dict[str, Callable[[Settings, Clock, OnResponse], StandbyFeed]] = {
    "poll": _poll,
    "fmp_stream": _fmp_stream,
    "massive": _massive,
}


def _fmp_client(settings: Settings, clock: Clock, on_response: OnResponse) -> FmpClient:
    key, url = _key(settings.fmp_api_key, "FMP_API_KEY"), settings.fmp_base_url
    budget = shared_budget(settings, fmp.PROVIDER, PLANS[settings.fmp_plan], clock)
    return FmpClient(url, key, budget, clock, _session(url, on_response))


def _session(url: str, on_response: OnResponse) -> requests.Session:
    session = http_session(url, CONNECTIONS)
    session.hooks["response"].append(on_response)
    return session


def _key(value: SecretStr | None, name: str) -> str:
    if value is None:
        raise StartError(
            f"{name} is not set: put it in .env, or run make demo for the simulated market"
        )
    return value.get_secret_value()


def shared_budget(
    settings: Settings, provider: str, limits: PlanLimits, clock: Clock
) -> CallBudget:
    """Return the budget that the jobs of the data folder spend from as well."""
    spent: list[Spent] = []
    for path in (settings.published_path, settings.live_path):
        if path.exists():
            with open_database(path, read_only=True) as connection:
                spent += logged_calls(connection, clock, provider)
    return CallBudget(limits, clock, spent, path=budget_path(settings.data_dir, provider))
