"""The service as an application: its parts, its lifespan and its routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.datastructures import State
from litestar.middleware import DefineMiddleware
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from ingest.clock import Clock
from ingest.settings import Settings
from live.access import Access
from live.broadcast import QUEUE_SIZE, Broadcaster
from live.checks import ClockCheck
from live.feeds import Feed
from live.metrics import Metrics
from live.monitor import Monitor
from live.prompt.copies import Copies
from live.prompt.runner import Runner
from live.routes import HTTP_ROUTES
from live.routes.socket import stream
from live.scoring import Scorer
from live.service import Service
from live.states import NewestStates
from live.warehouse import LiveWarehouse

LARGEST_BODY = 256 * 1024
"""Bytes of a request."""


def create_app(
    settings: Settings,
    clock: Clock,
    feed: Feed,
    warehouse: LiveWarehouse,
    queue_size: int = QUEUE_SIZE,
    *,
    clock_check: ClockCheck | None = None,
    fault: str | None = None,
) -> Litestar:
    """Return the service over an open live database; it watches `feed` while it is served.

    Real market, simulated market and replay differ in clock and feed only. The caller closes
    `warehouse` after the app's shutdown. With a `fault` (live/selftest.py) there are no signals.
    """
    metrics = Metrics()
    broadcaster = Broadcaster(
        warehouse.last_seq(),
        queue_size,
        max_clients=settings.live_max_clients,
        on_sent=metrics.observe_send,
    )
    scorer = Scorer(settings.data_dir, *warehouse.feature_definitions())
    monitor = Monitor(
        warehouse,
        feed,
        clock,
        broadcaster,
        scorer,
        warehouse_path=settings.warehouse_path,
        tick_seconds=settings.live_tick_seconds,
        metrics=metrics,
        clock_check=clock_check,
        min_free_mb=settings.live_min_free_mb,
        fault=fault,
    )
    copies = Copies(warehouse, clock, settings.data_dir / "live_sql")
    prompt = Runner(copies, settings.live_sql_seconds, settings.live_sql_memory_mb)
    states = NewestStates(warehouse, monitor)
    service = Service(
        settings, clock, feed, warehouse, broadcaster, scorer, monitor, metrics, prompt, states
    )
    metrics.follow(service.health, lambda: broadcaster.waiting)

    @asynccontextmanager
    async def watching(_app: Litestar) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(monitor.run()), asyncio.create_task(service.beat())]
        try:
            yield
        finally:
            await monitor.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            copies.close()

    return Litestar(
        [*HTTP_ROUTES, stream],
        lifespan=[watching],
        logging_config=None,
        state=State({"service": service}),
        middleware=[
            DefineMiddleware(Access, settings=settings),
            RateLimitConfig(
                ("minute", settings.live_requests_per_minute),
                exclude=["^/$", "^/metrics$", "^/health/ready$"],
            ).middleware,
        ],
        request_max_body_size=LARGEST_BODY,
        openapi_config=OpenAPIConfig(
            title="RePump live service",
            version="1",
            description="Live signals of US small caps that break out of a quiet base again. "
            "Signals come over the WebSocket /ws?since=<seq>, described by AsyncAPI at "
            "/schema/messages; GET /signals has the same payloads.",
            path="/schema",
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
            use_handler_docstrings=True,
        ),
    )
