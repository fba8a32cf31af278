"""The service as an application: its parts, its lifespan, its routes and the WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

from litestar import Litestar, WebSocket, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from litestar.middleware import DefineMiddleware
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import QueryParameter

from ingest.clock import Clock
from ingest.settings import Settings
from live.access import Access
from live.broadcast import Broadcaster
from live.feeds import Feed
from live.monitor import Monitor
from live.routes import HTTP_ROUTES
from live.scoring import Scorer
from live.service import Service
from live.warehouse import LiveWarehouse

SinceOrNow = Annotated[int | None, QueryParameter(ge=0, description="replay from after this seq")]


def create_app(
    settings: Settings, clock: Clock, feed: Feed, warehouse: LiveWarehouse, queue_size: int = 256
) -> Litestar:
    """Return the service over an open live database; it watches `feed` while it is served.

    Real market, simulated market and replay differ in clock and feed only. The caller closes
    `warehouse` after the app's shutdown.
    """
    broadcaster = Broadcaster(warehouse.last_seq(), queue_size)
    scorer = Scorer(settings.data_dir, *warehouse.feature_definitions())
    monitor = Monitor(
        warehouse,
        feed,
        clock,
        broadcaster,
        scorer,
        warehouse_path=settings.warehouse_path,
        tick_seconds=settings.live_tick_seconds,
    )
    service = Service(clock, feed, warehouse, broadcaster, scorer, monitor)

    @asynccontextmanager
    async def watching(_app: Litestar) -> AsyncIterator[None]:
        task = asyncio.create_task(monitor.run())
        try:
            yield
        finally:
            await monitor.stop()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return Litestar(
        [*HTTP_ROUTES, stream],
        lifespan=[watching],
        logging_config=None,
        state=State({"service": service}),
        middleware=[DefineMiddleware(Access, settings=settings)],
        openapi_config=OpenAPIConfig(
            title="RePump live service",
            version="1",
            description="Live signals of US small caps that break out of a quiet base again. "
            "Signals come over the WebSocket /ws?since=<seq>; GET /signals has the same payloads.",
            path="/schema",
            render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
            use_handler_docstrings=True,
        ),
    )


@websocket("/ws")
async def stream(
    socket: WebSocket[Any, Any, State], state: State, since: SinceOrNow = None
) -> None:
    """Send each signal as JSON text; with `since`, first what was stored after that seq."""
    service: Service = state.service
    await socket.accept()
    with service.broadcaster.subscribe() as subscription:
        texts = service.broadcaster.texts(subscription, since, service.warehouse.signals_since)
        sending = asyncio.create_task(_send_all(socket, texts))
        listening = asyncio.create_task(_until_gone(socket))
        try:
            await asyncio.wait([sending, listening], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.gather(sending, listening, return_exceptions=True)


async def _send_all(socket: WebSocket[Any, Any, State], texts: AsyncIterator[str]) -> None:
    async for text in texts:
        await socket.send_text(text)


async def _until_gone(socket: WebSocket[Any, Any, State]) -> None:
    """Wait for the client to leave; what it says is ignored."""
    with suppress(WebSocketDisconnect):
        while True:
            await socket.receive_data(mode="text")
