"""/ws with real clients: signals, resumption, gaps, subscriptions, heartbeats, tokens, limits.

Whatever the service says is held against the schema that it serves.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from ingest.settings import Settings
from live.app import create_app
from live.broadcast import Message
from live.messages import RECEIVED, SENT, Rules, describe_messages
from live.routes import socket as route
from live.signals import Entry, Score, make_signal
from live.warehouse import open_live
from tests.live_fixture import DAY, OPEN, HandClock, ListFeed, bars
from tests.live_server import Running, one_break_out, serving, wait_until

ENTRY = Entry(
    "AAA", DAY, "RTH", OPEN, OPEN + timedelta(minutes=1), "RePump",
    5.67, 5.60, 3.2, 0.045, 0.011, "estimated", 0.038,
)  # fmt: skip
RULES = Rules(0.08, 2.0, 0.012, 15, 0.06, 0.03)


def one_of(kinds: Sequence[type]) -> Draft202012Validator:
    document = describe_messages()
    refs = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]
    return Draft202012Validator({"oneOf": refs, "components": document["components"]})


sent_by_the_service, said_by_clients = one_of(SENT), one_of(RECEIVED)


def receive(client: ClientConnection, timeout: float = 10) -> dict[str, Any]:
    message = json.loads(client.recv(timeout=timeout))
    sent_by_the_service.validate(message)
    return message  # type: ignore[no-any-return]


def say(client: ClientConnection, **message: object) -> None:
    said_by_clients.validate(message)
    client.send(json.dumps(message))


def seqs(client: ClientConnection, count: int) -> list[int]:
    return [receive(client)["seq"] for _ in range(count)]


def close_of(client: ClientConnection) -> tuple[int, str]:
    """Read to the end; return how the service closed."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            client.recv(timeout=10)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def signal(seq: int, symbol: str = "AAA", state: str = "RePump", pad: str = "") -> Message:
    entry = replace(ENTRY, symbol=symbol, state=state)  # type: ignore[arg-type]
    score = Score(0.5, 0.4, f"run-1{pad}")
    return make_signal(entry, RULES, score, seq=seq, emitted_at=OPEN).as_message()


def store(running: Running, stored: list[Message]) -> None:
    """Have the service read these instead of what is in its database."""
    running.service.warehouse.signals_since = (  # type: ignore[method-assign]
        lambda seq, limit=500: [message for message in stored if message.seq > seq][:limit]
    )


def publish(running: Running, *messages: Message) -> None:
    """Publish messages faster than any client can take them."""

    def publish_all() -> None:
        for message in messages:
            running.service.broadcaster.publish(message)

    running.loop.call_soon_threadsafe(publish_all)


def open_to_all(settings: Settings) -> Settings:
    return settings.model_copy(update={"live_host": "0.0.0.0", "live_token": SecretStr("secret")})


def test_signal_reaches_the_websocket(running: Running) -> None:
    with connect(running.ws) as client:
        one_break_out(running)
        sent = receive(client)
    assert (sent["seq"], sent["symbol"], sent["state"]) == (1, "AAA", "RePump")


def test_since_replays_what_was_missed(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: running.service.broadcaster.last_seq == 1)
    running.feed.bars += bars("BRK-B", running.clock.at, [5.0, 5.2])
    running.clock.at += timedelta(minutes=2)
    wait_until(lambda: running.service.broadcaster.last_seq == 2)
    with connect(f"{running.ws}?since=1") as client:
        assert seqs(client, 1) == [2]


def test_stored_signals_survive_a_restart(settings: Settings) -> None:
    with serving(settings) as first:
        one_break_out(first)
        wait_until(lambda: first.service.broadcaster.last_seq == 1)
    with serving(settings) as second, connect(f"{second.ws}?since=0") as client:
        assert seqs(client, 1) == [1]


def test_stalled_client_is_told_its_gap_and_delays_nobody(running: Running) -> None:
    stored = [signal(seq, pad="x" * 40_000) for seq in range(1, 601)]
    store(running, stored)
    broadcaster = running.service.broadcaster
    with (
        connect(running.ws, max_queue=1, compression=None) as stalled,
        connect(running.ws) as quick,
    ):
        wait_until(lambda: broadcaster.clients == 2)
        for message in stored:
            publish(running, message)
            if message.seq % 50 == 0:
                assert seqs(quick, 50)[-1] == message.seq
        received = [receive(stalled) for _ in range(601)]
    gaps = [message for message in received if "type" in message]
    assert [gap["type"] for gap in gaps] == ["gap"]
    assert [m["seq"] for m in received if "seq" in m] == list(range(1, 601))


def test_foreign_page_is_refused(running: Running) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(running.ws, origin="https://elsewhere.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403
    assert running.get("/", origin="https://elsewhere.example").status_code == 403


def test_own_page_is_let_in(running: Running) -> None:
    with connect(running.ws, origin=f"http://{running.address}"):  # type: ignore[arg-type]
        wait_until(lambda: running.service.broadcaster.clients == 1)


def test_disconnected_client_is_forgotten(running: Running) -> None:
    with connect(running.ws):
        wait_until(lambda: running.service.broadcaster.clients == 1)
    wait_until(lambda: running.service.broadcaster.clients == 0)


def test_client_that_the_server_gave_up_is_no_error(settings: Settings) -> None:
    """After unanswered pings uvicorn raises at a send, and logs a traceback of what we raise."""
    scope: Any = {
        "type": "websocket", "path": "/ws", "raw_path": b"/ws", "query_string": b"since=0",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "subprotocols": [],
    }  # fmt: skip
    told: list[str] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"} if not told else await asyncio.Event().wait()

    async def send(event: Any) -> None:
        told.append(event["type"])
        if event["type"] != "websocket.accept":
            raise RuntimeError("Unexpected ASGI message, after sending 'websocket.close'.")

    with open_live(settings.live_path, settings.published_path) as warehouse:
        warehouse.signals_since = lambda seq: [signal(1)]  # type: ignore[method-assign]
        app = create_app(settings, HandClock(OPEN), ListFeed(), warehouse)
        asyncio.run(asyncio.wait_for(app(scope, receive, send), 10))
    assert told == ["websocket.accept", "websocket.send"]


MIXED = [signal(1), signal(2, "BRK-B"), signal(3, "AAA", "FirstPump"), signal(4, "CCC")]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("symbols=AAA,ccc", [1, 3, 4]),
        ("symbols=brk.b", [2]),
        ("states=RePump", [1, 2, 4]),
        ("symbols=AAA&states=RePump", [1]),
    ],
)
def test_url_subscribes_to_stored_and_new_signals(
    running: Running, query: str, wanted: list[int]
) -> None:
    store(running, MIXED)
    running.service.broadcaster.last_seq = 4
    with connect(f"{running.ws}?since=0&{query}") as client:
        assert seqs(client, len(wanted)) == wanted
        publish(running, *(message._replace(seq=message.seq + 4) for message in MIXED))
        assert seqs(client, len(wanted)) == wanted  # texts are as stored


def test_message_subscribes_and_is_acknowledged(running: Running) -> None:
    with connect(running.ws) as client:
        say(client, type="subscribe", symbols=["brk.b"], states=["RePump"])
        assert receive(client) == {
            "type": "subscribed", "symbols": ["BRK-B"], "states": ["RePump"],
        }  # fmt: skip
        receive(client)  # a heartbeat
        publish(running, *MIXED)
        assert receive(client)["seq"] == 2


def test_subscribing_to_all_lifts_the_filter(running: Running) -> None:
    with connect(f"{running.ws}?symbols=CCC") as client:
        say(client, type="subscribe")
        assert receive(client) == {"type": "subscribed", "symbols": None, "states": None}
        publish(running, *MIXED)
        assert [m["seq"] for m in map(receive, [client] * 5) if "seq" in m] == [1, 2, 3, 4]


def test_unknown_state_in_the_url_is_told(running: Running) -> None:
    with connect(f"{running.ws}?states=Pumped") as client:
        code, reason = close_of(client)
    assert (code, "Pumped" in reason) == (1008, True)


@pytest.mark.parametrize(
    "text", ["nonsense", "[]", '{"type": "subscribe", "symbols": 3}', '{"type": "sell"}',
             '{"type": "subscribe", "states": ["Idle"]}', '{"type": "subscribe", "symbol": "A"}']
)  # fmt: skip
def test_bad_message_gets_an_error_and_changes_nothing(running: Running, text: str) -> None:
    with connect(f"{running.ws}?symbols=AAA") as client:
        client.send(text)
        assert receive(client)["type"] == "error"
        publish(running, *MIXED)
        assert [m["seq"] for m in map(receive, [client] * 3) if "seq" in m] == [1, 3]


def test_binary_message_gets_an_error(running: Running) -> None:
    with connect(running.ws) as client:
        client.send(b"\x00\xff")
        assert receive(client)["type"] == "error"


def test_long_message_ends_the_connection(running: Running) -> None:
    with connect(running.ws) as client:
        client.send("x" * 20_000)
        assert close_of(client)[0] == 1009


def test_chatterbox_is_closed(running: Running) -> None:
    with connect(running.ws) as client:
        for _ in range(route.MESSAGES + 1):
            client.send('{"type": "subscribe"}')
        assert close_of(client) == (1008, "more than 20 messages in 10 seconds")


def test_heartbeat_tells_where_to_resume(settings: Settings) -> None:
    often = settings.model_copy(update={"live_heartbeat_seconds": 0.05})
    with serving(often) as running, connect(f"{running.ws}?symbols=CCC") as client:
        wait_until(lambda: running.service.broadcaster.clients == 1)
        publish(running, signal(1), signal(2))
        heartbeats = (receive(client) for _ in range(200))
        last = next(beat for beat in heartbeats if beat["last_seq"] == 2)
    assert (last["type"], last["status"]) == ("heartbeat", "degraded")  # it has no bars


def test_handshake_tells_where_to_resume(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: running.service.broadcaster.last_seq == 1)
    with connect(running.ws) as client:
        assert client.response is not None
        assert client.response.headers["x-last-seq"] == "1"


def test_token_may_be_the_first_message(settings: Settings) -> None:
    with serving(open_to_all(settings)) as running, connect(f"{running.ws}?since=0") as client:
        wait_until(lambda: running.service.monitor.is_open)
        one_break_out(running)
        wait_until(lambda: running.service.broadcaster.last_seq == 1)
        with pytest.raises(TimeoutError):  # nothing is sent before
            client.recv(timeout=0.3)
        assert client.response is not None
        assert "x-last-seq" not in client.response.headers
        say(client, type="auth", token="secret")
        assert receive(client)["seq"] == 1


@pytest.mark.parametrize(
    "first", ['{"type": "auth", "token": "wrong"}', '{"type": "auth", "token": "sécret"}',
              '{"type": "auth", "token": ""}', '{"type": "subscribe"}', "secret"]
)  # fmt: skip
def test_wrong_first_message_is_closed(settings: Settings, first: str) -> None:
    with serving(open_to_all(settings)) as running, connect(running.ws) as client:
        client.send(first)
        code, reason = close_of(client)
    assert (code, "token" in reason) == (1008, True)


def test_silent_stranger_is_closed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route, "TOKEN_SECONDS", 0.1)
    with serving(open_to_all(settings)) as running, connect(running.ws) as client:
        assert close_of(client)[0] == 1008


def test_token_may_be_the_header(settings: Settings) -> None:
    header = {"Authorization": "Bearer secret"}
    with serving(open_to_all(settings)) as running:
        with connect(running.ws, additional_headers=header):
            wait_until(lambda: running.service.broadcaster.clients == 1)
        with pytest.raises(InvalidStatus) as refused:
            connect(running.ws, additional_headers={"Authorization": "Bearer wrong"})
        assert refused.value.response.status_code == 401


def test_token_in_the_url_is_no_token(settings: Settings) -> None:
    with serving(open_to_all(settings)) as running:
        assert running.get("/?token=secret").status_code == 401


def test_one_client_too_many_is_told_why(settings: Settings) -> None:
    few = settings.model_copy(update={"live_max_clients": 2})
    with serving(few) as running, connect(running.ws), connect(running.ws):
        wait_until(lambda: running.service.broadcaster.clients == 2)
        with connect(running.ws) as third:
            code, reason = close_of(third)
    assert (code, "2 clients are connected" in reason) == (1013, True)


def test_gap_of_a_filtered_client_is_caught_up(running: Running) -> None:
    pad = "x" * 40_000
    stored = [signal(seq, "AAA" if seq % 2 else "BRK-B", pad=pad) for seq in range(1, 1_201)]
    store(running, stored)
    with connect(f"{running.ws}?symbols=AAA", max_queue=1) as stalled:
        wait_until(lambda: running.service.broadcaster.clients == 1)
        publish(running, *stored)
        wait_until(lambda: running.service.broadcaster.last_seq == 1_200)
        received = [receive(stalled) for _ in range(601)]
    (gap,) = [message for message in received if "type" in message]
    assert gap["from_seq"] < gap["to_seq"] == 1_199
    assert [m["seq"] for m in received if "seq" in m] == list(range(1, 1_201, 2))


def test_messages_are_published_as_asyncapi(running: Running) -> None:
    document = running.get("/schema/messages").json()
    assert document == describe_messages()
    assert document["asyncapi"] == "3.0.0"
