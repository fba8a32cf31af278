"""The service's routes: health, watchlist, signals, bars, features, metrics and the WebSocket."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

from litestar import Litestar, MediaType, Response, WebSocket, get, websocket
from litestar.datastructures import State
from litestar.exceptions import NotFoundException, WebSocketDisconnect
from litestar.middleware import DefineMiddleware
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath, QueryParameter

from ingest.clock import Clock
from ingest.settings import Settings
from live.access import Access
from live.broadcast import Broadcaster
from live.feeds import Feed
from live.health import Health, describe, prometheus_text
from live.monitor import Monitor
from live.scoring import Scorer
from live.signals import utc_text
from live.warehouse import LiveWarehouse

Since = Annotated[int, QueryParameter(ge=0, description="signals after this seq")]
SinceOrNow = Annotated[int | None, QueryParameter(ge=0, description="replay from after this seq")]
Limit = Annotated[int, QueryParameter(ge=1, le=5_000, description="at most this many rows")]
Row = dict[str, Any]


@dataclass(frozen=True)
class Service:
    """All that the routes need."""

    clock: Clock
    feed: Feed
    warehouse: LiveWarehouse
    broadcaster: Broadcaster
    scorer: Scorer
    monitor: Monitor

    def health(self) -> Health:
        """Return the service's health now."""
        return describe(
            self.monitor,
            self.broadcaster,
            now=self.clock.now(),
            provider=self.feed.provider,
            notes=self.feed.notes,
            model_run=self.scorer.run_id,
            snapshot=self.warehouse.snapshot,
        )


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
        [health, metrics, watchlist, signals, bars, features, stream],
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


@get("/", sync_to_thread=False)
def health(state: State) -> Health:
    """How the service is: status, session, newest bar and lag, clients, problems."""
    service: Service = state.service
    return service.health()


@get("/metrics", media_type=MediaType.TEXT, sync_to_thread=False)
def metrics(state: State) -> Response[bytes]:
    """The health in Prometheus' text format."""
    service: Service = state.service
    text = prometheus_text(service.health())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@get("/watchlist", sync_to_thread=True)
def watchlist(state: State) -> Row:
    """Who is watched in the running session, or in the next: best first, with the score's parts."""
    service: Service = state.service
    session = service.monitor.session
    rows = service.warehouse.watchlist(session.session_date) if session else []
    return {
        "session_date": session.session_date.isoformat() if session else None,
        "symbols": [to_json(row) for row in rows],
    }


@get("/signals", sync_to_thread=True)
def signals(state: State, since: Since = 0, limit: Limit = 500) -> Response[str]:
    """The stored signals after `since`, oldest first, at most `limit`: the WebSocket's payloads."""
    service: Service = state.service
    texts = [text for _, text in service.warehouse.signals_since(since, limit)]
    return Response(f"[{','.join(texts)}]", media_type=MediaType.JSON)


@get("/bars/{symbol:str}", sync_to_thread=True)
def bars(state: State, symbol: FromPath[str], limit: Limit = 1_000) -> list[Row]:
    """The session's closed one-minute bars of a symbol, oldest first."""
    return _newest(
        state,
        symbol,
        limit,
        "select symbol, session_date, session_segment, bar_at, available_at, "
        "open, high, low, close, volume from marts.features_1m",
    )


@get("/features/{symbol:str}", sync_to_thread=True)
def features(state: State, symbol: FromPath[str], limit: Limit = 1) -> list[Row]:
    """A symbol's newest features, oldest first, and its state by the rules."""
    return _newest(state, symbol, limit, "select * from marts.states_1m")


def _newest(state: State, symbol: str, limit: int, query: str) -> list[Row]:
    service: Service = state.service
    session = service.monitor.session
    canonical = symbol.upper().replace(".", "-")
    rows = service.warehouse.read(
        f"{query} where session_date = $session_date and symbol = $symbol "
        "order by bar_at desc limit $limit",
        {
            "session_date": session.session_date if session else None,
            "symbol": canonical,
            "limit": limit,
        },
    )
    if not rows and canonical not in service.monitor.watchlist:
        raise NotFoundException(f"{canonical} is not on the watchlist (see /watchlist)")
    return [to_json(row) for row in reversed(rows)]


def to_json(row: Row) -> Row:
    """Return a database row as JSON takes it: times as UTC text with a Z, NaN as null."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return utc_text(value)
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value

    return {name: plain(value) for name, value in row.items()}


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
