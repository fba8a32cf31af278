"""The HTTP routes, a module per subject."""

from live.routes.day import bars, features, signals, watchlist
from live.routes.status import health, messages, metrics, ready

HTTP_ROUTES = [health, ready, messages, metrics, watchlist, signals, bars, features]

__all__ = ["HTTP_ROUTES"]
