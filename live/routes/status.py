"""How the service is: for people and for Prometheus."""

from __future__ import annotations

from typing import Any

from litestar import MediaType, Response, get
from litestar.datastructures import State
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from live.health import Health
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


@get("/health/ready", sync_to_thread=False)
def ready(state: State) -> Response[Health]:
    """The health once more, with status 503 while it is degraded: for what restarts or routes."""
    service: Service = state.service
    found = service.health()
    return Response(found, status_code=503 if found.status == "degraded" else 200)


@get("/metrics", media_type=MediaType.TEXT, sync_to_thread=False)
def metrics(state: State) -> Response[bytes]:
    """Stages, calls, queues and the health in Prometheus' text format."""
    service: Service = state.service
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
