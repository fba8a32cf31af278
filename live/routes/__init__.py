"""The HTTP routes, a module per subject."""

from live.routes.day import bars, features, signals, watchlist
from live.routes.sql import sql
from live.routes.status import health, messages, metrics, ready
from live.routes.why import why

HTTP_ROUTES = [health, ready, messages, metrics, watchlist, signals, bars, features, why, sql]

__all__ = ["HTTP_ROUTES"]
