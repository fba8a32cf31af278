"""The session as it is: watchlist, signals, and each symbol's bars and features."""

from __future__ import annotations

from typing import Annotated

from litestar import MediaType, Response, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import QueryParameter

from live.answers import Row, to_json
from live.routes.symbols import Symbol, canonical
from live.service import Service

Since = Annotated[int, QueryParameter(ge=0, description="signals after this seq")]
Limit = Annotated[int, QueryParameter(ge=1, le=5_000, description="at most this many rows")]


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
    texts = [message.text for message in service.warehouse.signals_since(since, limit)]
    return Response(f"[{','.join(texts)}]", media_type=MediaType.JSON)


@get("/states", sync_to_thread=True)
def states(state: State) -> list[Row]:
    """The newest bar of every watched symbol with its state, how many of an entry's rules it meets,
    the first that it fails and by what part of its threshold, and the last closes."""
    service: Service = state.service
    return [to_json(row) for row in service.states.read()]


@get("/bars/{symbol:str}", sync_to_thread=True)
def bars(state: State, symbol: Symbol, limit: Limit = 1_000) -> list[Row]:
    """The session's closed one-minute bars of a symbol and their VWAP, oldest first."""
    return _newest(
        state,
        symbol,
        limit,
        "select symbol, session_date, session_segment, bar_at, available_at, "
        "open, high, low, close, volume, vwap from marts.features_1m",
    )


@get("/features/{symbol:str}", sync_to_thread=True)
def features(state: State, symbol: Symbol, limit: Limit = 1) -> list[Row]:
    """A symbol's newest features, oldest first, and its state by the rules."""
    return _newest(state, symbol, limit, "select * from marts.states_1m")


def _newest(state: State, symbol: str, limit: int, query: str) -> list[Row]:
    service: Service = state.service
    session = service.monitor.session
    name = canonical(symbol)
    rows = service.warehouse.read(
        f"{query} where session_date = $session_date and symbol = $symbol "
        "order by bar_at desc limit $limit",
        {
            "session_date": session.session_date if session else None,
            "symbol": name,
            "limit": limit,
        },
    )
    if not rows and name not in service.monitor.watchlist:
        raise NotFoundException(f"{name} is not on the watchlist (see /why/{name})")
    return [to_json(row) for row in reversed(rows)]
