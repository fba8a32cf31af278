"""The HTTP routes, a module per subject."""

from litestar.types import ControllerRouterHandler

from live.routes.dashboard import dashboard
from live.routes.day import bars, features, signals, states, watchlist
from live.routes.sql import sql
from live.routes.status import health, messages, metrics, ready
from live.routes.why import why

HTTP_ROUTES: list[ControllerRouterHandler] = [
    health, ready, messages, metrics,
    watchlist, signals, states, bars, features, why, sql,
    dashboard,
]  # fmt: skip

__all__ = ["HTTP_ROUTES"]
