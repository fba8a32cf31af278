"""The simulated streams, spoken to by a plain WebSocket client while their clock is set by hand."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.socket_faults import SocketFaults, parse_socket_faults
from ingest.simulator.sockets import SimulatedSockets
from tests.live_fixture import DAY, OPEN, HandClock

MARKET = GeneratedMarket(seed=7, symbol_count=12)
BUSY = MARKET.watchlist_grade()[0]
MINUTE = timedelta(minutes=1)
AM_KEYS = ["ev", "sym", "v", "av", "op", "vw", "o", "c", "h", "l", "a", "z", "s", "e"]
FMP_STREAM = "fmp-us-equities-stream"


class Stream:
    """A client that is logged in, and the clock of what it is connected to."""

    def __init__(self, socket: ClientConnection, server: SimulatedSockets, clock: HandClock):
        self.socket, self.server, self.clock = socket, server, clock

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def ask(self, **message: Any) -> Any:
        """Send a message and return the next frame."""
        self.send(**message)
        return json.loads(self.socket.recv(timeout=10))

    def subscribe(self, topics: str) -> list[dict[str, Any]]:
        return self.ask(action="subscribe", params=topics)

    def texts_at(self, moment: datetime) -> list[str]:
        """Set the clock; return every frame that is due by then.

        The server answers two senseless messages, each after it has sent what was due before it.
        """
        self.clock.at = moment
        texts: list[str] = []
        for _ in range(2):
            self.send(action="none", event="subscribe", data={"stream": "none"})
            while not is_answer(text := str(self.socket.recv(timeout=10))):
                texts.append(text)
        return texts

    def events_at(self, moment: datetime) -> list[dict[str, Any]]:
        """Return the same as Massive's events."""
        return [event for text in self.texts_at(moment) for event in json.loads(text)]

    def events_over(self, start: datetime, minutes: int) -> list[dict[str, Any]]:
        """Return the events of some minutes, looked at every five seconds."""
        moments = (start + timedelta(seconds=5 * n) for n in range(minutes * 12))
        return [event for moment in moments for event in self.events_at(moment)]


def is_answer(text: str) -> bool:
    return "invalid action" in text or ('"event": "subscribe"' in text and "401" in text)


@contextmanager
def serving(at: datetime = OPEN, **faults: float) -> Iterator[tuple[SimulatedSockets, HandClock]]:
    clock = HandClock(at)
    with SimulatedSockets(MARKET, clock, faults=SocketFaults(**faults)) as server:  # type: ignore[arg-type]
        yield server, clock


@contextmanager
def massive(at: datetime = OPEN, **faults: float) -> Iterator[Stream]:
    with serving(at, **faults) as (server, clock), connect(server.massive_url) as socket:
        stream = Stream(socket, server, clock)
        assert json.loads(socket.recv(timeout=10))[0]["status"] == "connected"
        assert stream.ask(action="auth", params="demo")[0]["status"] == "auth_success"
        yield stream


@contextmanager
def fmp(at: datetime = OPEN, **faults: float) -> Iterator[Stream]:
    with serving(at, **faults) as (server, clock), connect(server.fmp_url) as socket:
        stream = Stream(socket, server, clock)
        answer = stream.ask(event="login", data={"apiKey": "demo"})
        assert answer == {"event": "login", "data": {"status": 200, "message": "Authenticated"}}
        yield stream


def bars_between(symbol: str, start: datetime, end: datetime) -> list[tuple[Any, ...]]:
    return [
        (bar["bar_at"].item(), *(float(bar[n]) for n in ("open", "high", "low", "close", "volume")))
        for bar in MARKET.minutes(symbol, DAY)
        if start <= bar["bar_at"].item() < end
    ]


def as_bar(event: dict[str, Any]) -> tuple[Any, ...]:
    at = datetime(1970, 1, 1) + timedelta(milliseconds=event["s"])
    return (at, *(event[key] for key in ("o", "h", "l", "c", "v")))


def test_subscription_is_acknowledged_item_by_item() -> None:
    with massive() as stream:
        assert stream.subscribe("AM.AAPL,A.BRK.B") == [
            {"ev": "status", "status": "success", "message": "subscribed to: A.BRK.B"},
            {"ev": "status", "status": "success", "message": "subscribed to: AM.AAPL"},
        ]


def test_minute_bars_are_those_of_the_market() -> None:
    with massive() as stream:
        stream.subscribe(f"AM.{BUSY}")
        events = stream.events_over(OPEN, 12)
        expected = bars_between(BUSY, OPEN - MINUTE, OPEN + 11 * MINUTE)
        assert len(expected) > 8
        assert [as_bar(event) for event in events][: len(expected)] == expected


def test_minute_bar_comes_soon_after_its_end() -> None:
    with massive() as stream:
        stream.subscribe(f"AM.{BUSY}")
        last = bars_between(BUSY, OPEN, OPEN + 5 * MINUTE)[-1][0]
        stream.texts_at(last + MINUTE)
        assert stream.events_at(last + MINUTE + timedelta(seconds=0.7)) == []
        assert len(stream.events_at(last + MINUTE + timedelta(seconds=2.5))) == 1


def test_event_has_massives_fields_in_their_order() -> None:
    with massive() as stream:
        stream.subscribe(f"AM.{BUSY}")
        (event, *_) = stream.events_over(OPEN, 4)
        assert list(event) == AM_KEYS
        assert event["e"] - event["s"] == 60_000


def test_seconds_add_up_to_their_minute() -> None:
    with massive() as stream:
        stream.subscribe(f"AM.{BUSY},A.{BUSY}")
        events = stream.events_over(OPEN, 8)
    seconds: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["ev"] == "A":
            seconds[event["s"] // 60_000].append(event)
    minutes = [event for event in events if event["ev"] == "AM" and as_bar(event)[0] >= OPEN]
    assert len(minutes) >= 5
    for minute in minutes:
        parts = seconds[minute["s"] // 60_000]
        assert (parts[0]["o"], parts[-1]["c"], sum(part["v"] for part in parts)) == (
            minute["o"], minute["c"], minute["v"],
        )  # fmt: skip
        highest, lowest = max(part["h"] for part in parts), min(part["l"] for part in parts)
        assert (highest, lowest) == (minute["h"], minute["l"])


def test_everything_is_streamed_by_a_star() -> None:
    with massive() as stream:
        stream.subscribe("AM.*")
        heard = {event["sym"] for event in stream.events_over(OPEN, 10)}
        trading = {s for s in MARKET.symbols(DAY) if bars_between(s, OPEN, OPEN + 9 * MINUTE)}
        assert heard == {symbol.replace("-", ".") for symbol in trading}


def test_unsubscribed_symbol_is_silent() -> None:
    with massive() as stream:
        stream.subscribe(f"AM.{BUSY}")
        answer = stream.ask(action="unsubscribe", params=f"AM.{BUSY}")
        assert answer[0]["message"] == f"unsubscribed to: AM.{BUSY}"
        assert stream.events_over(OPEN, 5) == []


def test_wrong_key_is_refused_and_hung_up_on() -> None:
    with serving() as (server, _), connect(server.massive_url) as socket:
        socket.recv(timeout=10)
        socket.send('{"action": "auth", "params": "wrong"}')
        assert json.loads(socket.recv(timeout=10))[0]["status"] == "auth_failed"
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)


def test_second_connection_is_let_in_then_closed() -> None:
    with massive() as stream, connect(stream.server.massive_url) as second:
        second.recv(timeout=10)
        second.send('{"action": "auth", "params": "demo"}')
        said = [json.loads(second.recv(timeout=10))[0]["status"] for _ in range(2)]
        assert said == ["auth_success", "max_connections"]
        with pytest.raises(ConnectionClosed) as closed:
            second.recv(timeout=10)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008


def test_older_connection_may_be_the_one_that_dies() -> None:
    with massive(evicts_older=1.0) as stream, connect(stream.server.massive_url) as second:
        second.recv(timeout=10)
        second.send('{"action": "auth", "params": "demo"}')
        assert json.loads(second.recv(timeout=10))[0]["status"] == "auth_success"
        assert json.loads(stream.socket.recv(timeout=10))[0]["status"] == "max_connections"
        with pytest.raises(ConnectionClosed):
            stream.socket.recv(timeout=10)


def test_place_is_free_after_a_connection() -> None:
    with massive() as stream:
        stream.server.cut()
        with pytest.raises(ConnectionClosed):
            stream.socket.recv(timeout=10)
        deadline = time.monotonic() + 10
        while stream.server.client_count and time.monotonic() < deadline:
            time.sleep(0.01)
        with connect(stream.server.massive_url) as second:
            second.recv(timeout=10)
            second.send('{"action": "auth", "params": "demo"}')
            assert json.loads(second.recv(timeout=10))[0]["status"] == "auth_success"


def test_corrected_bar_comes_small_then_whole() -> None:
    with massive(corrected_bars=1.0) as stream:
        stream.subscribe(f"AM.{BUSY}")
        versions = defaultdict(list)
        for event in stream.events_over(OPEN, 6):
            versions[as_bar(event)[0]].append(as_bar(event))
    first, *_ = bars_between(BUSY, OPEN, OPEN + 5 * MINUTE)
    small, whole = versions[first[0]]
    assert small[-1] < whole[-1] and whole == first


def test_stalled_stream_sends_nothing_and_stays() -> None:
    with massive(stall=1.0) as stream:
        stream.subscribe(f"AM.{BUSY}")
        assert stream.events_over(OPEN, 5) == []


def test_slow_minute_comes_late() -> None:
    with massive(slow=1.0, slow_seconds=30) as stream:
        stream.subscribe(f"AM.{BUSY}")
        last = bars_between(BUSY, OPEN, OPEN + 5 * MINUTE)[-1][0]
        stream.texts_at(last + MINUTE + timedelta(seconds=25))
        (event,) = stream.events_at(last + MINUTE + timedelta(seconds=33))
        assert as_bar(event)[0] == last


def test_cut_ends_without_a_closing_frame() -> None:
    with massive(cut=1.0) as stream:
        stream.clock.at = OPEN + 2 * MINUTE
        with pytest.raises(ConnectionClosed) as closed:
            stream.socket.recv(timeout=10)
        assert closed.value.rcvd is None


def test_garbage_frame_is_no_json() -> None:
    with massive(garbage_frame=1.0) as stream:
        texts = stream.texts_at(OPEN + 2 * MINUTE)
        with pytest.raises(json.JSONDecodeError):
            [json.loads(text) for text in texts]


def test_faults_hit_the_same_minutes_again() -> None:
    faults, again = SocketFaults(cut=0.3, seed=5), SocketFaults(cut=0.3, seed=5)
    minutes = [OPEN + n * MINUTE for n in range(200)]
    hit = [minute for minute in minutes if "cut" in faults.drawn_minute(minute)]
    assert 40 < len(hit) < 80
    assert hit == [minute for minute in minutes if "cut" in again.drawn_minute(minute)]


@pytest.mark.parametrize("text", ["cut=2", "cut=x", "unknown=0.5"])
def test_wrong_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="fault"):
        parse_socket_faults([text])


def test_unknown_path_is_not_found() -> None:
    with serving() as (server, _), pytest.raises(InvalidStatus):
        connect(f"{server.fmp_url}/options").__enter__()


def quotes_of(texts: list[str], symbol: str) -> list[dict[str, Any]]:
    return [row for text in texts if (row := json.loads(text)).get("symbol") == symbol]


def test_fmp_quotes_tell_the_volume_so_far() -> None:
    with fmp() as stream:
        stream.ask(event="subscribe", data={"stream": FMP_STREAM})
        quotes = quotes_of(stream.texts_at(OPEN + 5 * MINUTE), BUSY)
    before = sum(bar[-1] for bar in bars_between(BUSY, datetime.min, OPEN + 5 * MINUTE))
    assert max(quote["volume"] for quote in quotes) == before
    assert list(quotes[0])[:3] == ["symbol", "name", "price"]


def test_fmp_sends_some_quotes_twice() -> None:
    with fmp() as stream:
        stream.ask(event="subscribe", data={"stream": FMP_STREAM})
        texts = [text for text in stream.texts_at(OPEN + 10 * MINUTE) if "symbol" in text]
        assert 0.1 < 1 - len(set(texts)) / len(texts) < 0.4


def test_fmp_heartbeat_comes_twice_a_minute() -> None:
    with fmp() as stream:
        stream.ask(event="subscribe", data={"stream": FMP_STREAM})
        texts = stream.texts_at(OPEN + 3 * MINUTE)
        assert sum('"heartbeat"' in text for text in texts) == 6


def test_fmp_refuses_a_wrong_key() -> None:
    with serving() as (server, _), connect(server.fmp_url) as socket:
        socket.send('{"event": "login", "data": {"apiKey": "wrong"}}')
        assert json.loads(socket.recv(timeout=10))["data"]["status"] == 401


def test_fmp_refuses_a_second_connection() -> None:
    with fmp() as stream, connect(stream.server.fmp_url) as second:
        second.send('{"event": "login", "data": {"apiKey": "demo"}}')
        said = json.loads(second.recv(timeout=10))["data"]["message"]
        assert said == "Maximum number of connections reached"


def test_fmp_says_nothing_of_a_stream_without_entitlement() -> None:
    with fmp() as stream:
        answer = stream.ask(event="subscribe", data={"stream": "nasdaq-basic-w-nls-plus"})
        assert answer["data"]["status"] == 401
