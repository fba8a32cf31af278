"""How the service is: for people and for Prometheus."""

from __future__ import annotations

from typing import Any

from litestar import MediaType, Response, get
from litestar.datastructures import State

from live.health import Health, prometheus_text
from live.messages import describe_messages
from live.service import Service


@get("/", sync_to_thread=False)
def health(state: State) -> Health:
    """How the service is: status, session, newest bar and lag, clients, problems."""
    service: Service = state.service
    return service.health()


@get("/schema/messages", sync_to_thread=False)
def messages() -> dict[str, Any]:
    """The messages of the WebSocket /ws, of both sides, as AsyncAPI 3 with JSON Schemas."""
    return describe_messages()


@get("/metrics", media_type=MediaType.TEXT, sync_to_thread=False)
def metrics(state: State) -> Response[bytes]:
    """The health in Prometheus' text format."""
    service: Service = state.service
    text = prometheus_text(service.health())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
