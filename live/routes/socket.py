"""/ws: signals as they come, to clients that have shown the token where one is needed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

from litestar import WebSocket, websocket
from litestar.datastructures import State
from litestar.exceptions import WebSocketDisconnect
from litestar.params import QueryParameter

from live.access import is_token
from live.broadcast import FullError, Interest, Subscription
from live.messages import (
    Authenticate,
    ErrorMessage,
    Subscribe,
    Subscribed,
    parse,
    parse_interest,
    to_text,
)
from live.service import Service

SinceOrNow = Annotated[int | None, QueryParameter(ge=0, description="replay from after this seq")]
Listed = Annotated[str | None, QueryParameter(description="only these, with commas between")]
Socket = WebSocket[Any, Any, State]

TOKEN_SECONDS = 5.0
"""How long a client may take to show its token."""
MESSAGES, PER_SECONDS = 20, 10.0
"""A client may say this much; who says more is closed."""
CLOSE_SECONDS = 1.0

POLICY, TRY_LATER = 1008, 1013
"""Close codes of RFC 6455 and its registry."""


class RefusedError(Exception):
    """A client is closed: code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@websocket("/ws")
async def stream(
    socket: Socket,
    state: State,
    since: SinceOrNow = None,
    symbols: Listed = None,
    states: Listed = None,
) -> None:
    """Send each signal as JSON text; with `since`, first what was stored after that seq.

    The messages of both sides are described at /schema/messages.
    """
    service: Service = state.service
    try:
        if socket.auth:
            await _serve(socket, service, since, symbols, states)
        else:
            await socket.accept()
            await _admit(socket, service)
            await _serve(socket, service, since, symbols, states)
    except RefusedError as refusal:
        with suppress(TimeoutError, WebSocketDisconnect):
            await asyncio.wait_for(socket.close(refusal.code, str(refusal)), CLOSE_SECONDS)
    except WebSocketDisconnect:
        pass


async def _admit(socket: Socket, service: Service) -> None:
    """Wait for the token as the first message. Nothing is sent before."""
    if service.door.locked():
        raise RefusedError(TRY_LATER, "too many clients that have not shown the token: try later")
    message: Authenticate | Subscribe | None = None
    async with service.door:
        with suppress(TimeoutError, ValueError):
            text = await asyncio.wait_for(socket.receive_data(mode="text"), TOKEN_SECONDS)
            message = parse(text)
    if not isinstance(message, Authenticate):
        raise RefusedError(POLICY, 'send {"type": "auth", "token": "<LIVE_TOKEN>"} first')
    if not is_token(service.settings.live_token, message.token):
        raise RefusedError(POLICY, "wrong token: it must be the service's LIVE_TOKEN")


async def _serve(
    socket: Socket, service: Service, since: int | None, symbols: str | None, states: str | None
) -> None:
    try:
        interest = _interest(parse_interest(symbols, states))
        with service.broadcaster.subscribe(interest) as subscription:
            if socket.connection_state == "init":
                await socket.accept(headers={"x-last-seq": str(subscription.start)})
            await _both_ways(socket, service, subscription, since)
    except (ValueError, FullError) as error:
        if socket.connection_state == "init":
            await socket.accept()
        code = TRY_LATER if isinstance(error, FullError) else POLICY
        raise RefusedError(code, str(error)) from error


def _interest(message: Subscribe) -> Interest:
    return Interest.of(message.symbols, message.states)


async def _both_ways(
    socket: Socket, service: Service, subscription: Subscription, since: int | None
) -> None:
    """Send and listen until the client is gone or refused."""
    texts = service.broadcaster.texts(subscription, since, service.warehouse.signals_since)
    tasks = [
        asyncio.create_task(_send_all(socket, texts)),
        asyncio.create_task(_listen(socket, service, subscription)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _send_all(socket: Socket, texts: AsyncIterator[str]) -> None:
    async for text in texts:
        try:
            await socket.send_text(text)
        except RuntimeError as error:  # uvicorn's, where its pings were not answered
            raise WebSocketDisconnect(detail="client is gone") from error


async def _listen(socket: Socket, service: Service, subscription: Subscription) -> None:
    """Answer what the client says."""
    loop = asyncio.get_running_loop()
    said: deque[float] = deque(maxlen=MESSAGES)
    while True:
        text = await socket.receive_data(mode="text")
        if len(said) == MESSAGES and loop.time() - said[0] < PER_SECONDS:
            raise RefusedError(POLICY, f"more than {MESSAGES} messages in {PER_SECONDS:g} seconds")
        said.append(loop.time())
        if not subscription.reply(_answer(text, subscription)):
            raise RefusedError(POLICY, "answers are not read")
        subscription.beat(service.heartbeat())


def _answer(text: str, subscription: Subscription) -> str:
    try:
        message = parse(text)
    except ValueError as error:
        return to_text(ErrorMessage(f"not understood, see /schema/messages: {error}"))
    if isinstance(message, Authenticate):
        return to_text(ErrorMessage("auth is for the first message of who needs a token"))
    subscription.interest = interest = _interest(message)
    symbols = None if interest.symbols is None else sorted(interest.symbols)
    return to_text(Subscribed(symbols, message.states))
