"""Streams over real sockets: what lands, what is asked over REST, and what is told."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from ingest.simulator.faults import Faults
from ingest.simulator.socket_faults import SocketFaults
from live.feeds.connection import StreamConnection
from live.feeds.fmp_socket import STREAM
from live.feeds.forming import FormingBars
from live.feeds.lag import lag_note
from live.feeds.massive_events import bars_table, events_of
from live.feeds.massive_socket import MassiveDialogue, topics_of
from live.feeds.stream import MassiveFeed
from tests.live_fixture import DAY, MINUTE, OPEN, HandClock
from tests.stream_fixture import (
    MARKET,
    SYMBOLS,
    Market,
    Polling,
    market_volumes,
    minutes_from,
    polling,
    scripted_socket,
    simulated_market,
)

START = OPEN + timedelta(minutes=30)
AFTER = START + timedelta(seconds=3)
CONNECTED = '[{"ev":"status","status":"connected","message":"Connected Successfully"}]'
LET_IN = '[{"ev":"status","status":"auth_success","message":"authenticated"}]'


def test_day_so_far_comes_first() -> None:
    with simulated_market(AFTER) as market, polling(market.massive_feed(), market.clock) as polls:
        polls.until(lambda: polls.has_bars_to(START))


def test_streamed_bars_cost_no_calls() -> None:
    with simulated_market(AFTER) as market, polling(market.massive_feed(), market.clock) as polls:
        polls.until(lambda: polls.has_bars_to(START))
        for moment in minutes_from(START, 9):
            market.clock.at = moment
            polls.until(lambda: polls.has_bars_to(moment - timedelta(seconds=3)))  # noqa: B023
        assert market.reads() == 2 * len(SYMBOLS)
        assert market.sockets.logins == 1


def settle(market: Market, polls: Polling) -> None:
    """Let the day so far be asked for, and once more: the next call has another reason."""
    for minutes in (0, 3):
        market.clock.at = AFTER + minutes * MINUTE
        polls.until(lambda: polls.has_bars_to(START + minutes * MINUTE))  # noqa: B023
    assert market.reads() == 2 * len(SYMBOLS)


def test_break_is_filled_over_rest() -> None:
    with simulated_market(AFTER) as market, polling(market.massive_feed(), market.clock) as polls:
        settle(market, polls)
        market.sockets.faults = SocketFaults(stall=1.0)
        market.clock.at = AFTER + 9 * MINUTE
        polls.poll()
        assert not polls.has_bars_to(START + 9 * MINUTE)
        market.sockets.cut()
        polls.until(lambda: polls.has_bars_to(START + 9 * MINUTE))
        assert polls.last.failures == {}


def test_correction_is_a_later_version() -> None:
    with (
        simulated_market(AFTER, corrected_bars=1.0) as market,
        polling(market.massive_feed(), market.clock) as polls,
    ):
        settle(market, polls)
        since = START + 3 * MINUTE
        bar_at = next(at for _, at in market_volumes(SYMBOLS[:1], datetime.max) if at >= since)
        key = (SYMBOLS[0], bar_at)
        market.clock.at = bar_at + timedelta(seconds=63)
        polls.until(lambda: key in polls.versions)
        market.clock.at = bar_at + timedelta(seconds=123)
        polls.until(lambda: len(polls.versions[key]) > 1)
        assert polls.versions[key][0] < polls.versions[key][-1]
        assert polls.versions[key][-1] == market_volumes(SYMBOLS, datetime.max)[key]


def test_new_bars_wait_for_those_before_them() -> None:
    with simulated_market(AFTER) as market, polling(market.massive_feed(), market.clock) as polls:
        market.server.faults = Faults(server_error=1.0)
        polls.until(lambda: len(polls.last.failures) == len(SYMBOLS))
        market.clock.at = START + timedelta(minutes=2)
        polls.poll()
        assert not polls.versions
        assert "bars are missing" in polls.last.failures[SYMBOLS[0]]
        market.server.faults = Faults()
        market.clock.at = AFTER + 3 * MINUTE
        polls.until(lambda: polls.has_bars_to(START + 2 * MINUTE))
        assert polls.last.failures == {}


def test_new_bars_do_not_wait_for_ever() -> None:
    with simulated_market(AFTER) as market, polling(market.massive_feed(), market.clock) as polls:
        market.server.faults = Faults(server_error=1.0)
        polls.until(lambda: len(polls.last.failures) == len(SYMBOLS))
        market.clock.at = START + timedelta(minutes=4)
        polls.until(lambda: len(polls.versions) > 0)
        assert min(at for _, at in polls.versions) >= START - MINUTE
        assert polls.last.failures.keys() == set(SYMBOLS)


def test_refused_key_ends_it_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with (
        simulated_market(AFTER) as market,
        polling(market.massive_feed(key="sesame"), market.clock) as polls,
    ):
        polls.until(lambda: "MASSIVE_API_KEY" in polls.last.failures.get("*", ""))
        for _ in range(20):
            polls.poll()
        assert market.sockets.logins == 1
        assert "sesame" not in caplog.text + str(polls.last.failures)


def test_second_connection_waits_longer_each_time() -> None:
    with (
        simulated_market(AFTER) as market,
        polling(market.massive_feed(), market.clock) as first,
        polling(market.massive_feed(backoff_seconds=0.02), market.clock) as second,
    ):
        first.until(lambda: market.sockets.client_count == 1)
        second.until(lambda: "code 1008" in second.last.failures.get("*", ""))
        logins = market.sockets.logins
        second.until(lambda: market.sockets.logins > logins + 1)
        assert market.sockets.client_count == 1
        assert first.poll().failures == {}


def test_being_let_in_does_not_shorten_the_pause() -> None:
    statuses = (CONNECTED, None, LET_IN, None)
    with (
        simulated_market(AFTER) as market,
        scripted_socket(*statuses) as (url, told, connections),
    ):
        connection = StreamConnection(url, MassiveDialogue("demo"), market.clock)
        pauses = []
        connection._pause = lambda state: pauses.append(state.attempt_number) or 0.0  # type: ignore[method-assign]
        feed = MassiveFeed(market.massive_feed()._client, connection, market.clock)
        with polling(feed, market.clock) as polls:
            for number in range(1, 4):
                polls.until(lambda: len(told) >= 2 * number)  # noqa: B023
                connections[-1].close_socket()
            polls.until(lambda: len(pauses) >= 3)
        assert pauses[:3] == [1, 2, 3]


def test_watchlist_change_is_subscribed() -> None:
    with simulated_market(AFTER) as market, polling(market.massive_feed(), market.clock) as polls:
        polls.symbols = SYMBOLS[:2]
        polls.until(lambda: polls.has_bars_to(START))
        polls.symbols = SYMBOLS[1:]
        polls.until(lambda: SYMBOLS[2] in {symbol for symbol, _ in polls.versions})
        changes = [(added, dropped) for _, added, dropped in market.sockets.subscriptions]
        assert (frozenset(), {f"AM.{SYMBOLS[0]}"}) in changes
        assert ({f"AM.{SYMBOLS[2]}"}, frozenset()) in changes


def test_long_watchlist_subscribes_to_everything() -> None:
    symbols = [f"S{number}" for number in range(1_001)]
    assert topics_of(symbols, has_seconds=False) == {"AM.*"}
    assert topics_of(["BRK-B"], has_seconds=True) == {"AM.BRK.B", "A.BRK.B"}


def test_everything_is_narrowed_to_the_watchlist() -> None:
    with simulated_market(AFTER) as market, polling(market.massive_feed(), market.clock) as polls:
        polls.symbols = [*SYMBOLS, *(f"NONE{number}" for number in range(1_000))]
        polls.until(lambda: set(SYMBOLS) <= {symbol for symbol, _ in polls.versions})
        market.clock.at = START + timedelta(minutes=3, seconds=3)
        polls.until(lambda: max(at for _, at in polls.versions) >= START + MINUTE)
        assert {symbol for symbol, _ in polls.versions} <= set(SYMBOLS)


def test_unreadable_frame_is_counted_and_filled() -> None:
    with (
        simulated_market(AFTER, garbage_frame=1.0) as market,
        polling(market.massive_feed(), market.clock) as polls,
    ):
        polls.until(lambda: polls.has_bars_to(START))
        reads = market.reads()
        market.clock.at = START + timedelta(minutes=1, seconds=30)
        polls.until(lambda: market.reads() >= reads + len(SYMBOLS))
        assert any("could not be read" in note for note in polls.feed.notes)


def test_unacknowledged_subscription_is_told() -> None:
    with (
        simulated_market(AFTER) as market,
        scripted_socket(CONNECTED, None, LET_IN) as (url, told, _),
    ):
        connection = StreamConnection(url, MassiveDialogue("demo"), market.clock)
        feed = MassiveFeed(market.massive_feed()._client, connection, market.clock)
        with polling(feed, market.clock) as polls:
            polls.until(lambda: len(told) == 2)
            assert polls.last.failures == {}
            market.clock.at += timedelta(seconds=21)
            polls.poll()
        assert "not acknowledged" in polls.last.failures[SYMBOLS[0]]
        assert json.loads(told[1])["action"] == "subscribe"


def test_lag_is_measured_from_the_minutes_end() -> None:
    with simulated_market(AFTER) as market, polling(market.massive_feed(), market.clock) as polls:
        polls.until(lambda: polls.has_bars_to(START))
        market.clock.at = START + timedelta(seconds=63)
        polls.until(lambda: polls.has_bars_to(START + MINUTE))
        assert max(polls.feed.lags) == 3.0  # type: ignore[attr-defined]
        assert "3.0 s after their minute ends" in polls.feed.notes[1]


def test_early_bars_tell_a_slow_clock() -> None:
    (note,) = lag_note("Bars", [-30.0, -31.0, -29.0])
    assert "clock is slow" in note


def test_stream_that_stands_by_hangs_up_and_comes_back() -> None:
    with simulated_market(AFTER) as market, polling(market.massive_feed(), market.clock) as polls:
        feed: Any = polls.feed
        polls.until(lambda: market.sockets.client_count == 1)
        feed.stand_by()
        wait_for_nobody = polling(market.massive_feed(), market.clock)
        with wait_for_nobody as other:
            other.until(lambda: market.sockets.client_count == 1 and other.has_bars_to(START))
        polls.versions.clear()
        polls.until(lambda: polls.has_bars_to(START))


def test_forming_bar_is_known_but_never_lands() -> None:
    with (
        simulated_market(AFTER) as market,
        polling(market.massive_feed(has_seconds=True), market.clock) as polls,
    ):
        polls.until(lambda: polls.has_bars_to(START))
        bar_at = next(at for _, at in market_volumes(SYMBOLS[:1], datetime.max) if at > START)
        market.clock.at = bar_at + timedelta(seconds=59)
        polls.until(lambda: bar_at in forming(polls.last.forming, SYMBOLS[0]))
        assert (SYMBOLS[0], bar_at) not in polls.versions
        market.clock.at = bar_at + timedelta(seconds=63)
        polls.until(lambda: (SYMBOLS[0], bar_at) in polls.versions)
        assert bar_at not in forming(polls.last.forming, SYMBOLS[0])


def test_forming_bar_waits_for_the_bars_before_it() -> None:
    with (
        simulated_market(AFTER) as market,
        polling(market.massive_feed(has_seconds=True), market.clock) as polls,
    ):
        market.server.faults = Faults(server_error=1.0)
        polls.until(lambda: len(polls.last.failures) == len(SYMBOLS))
        bar_at = next(at for _, at in market_volumes(SYMBOLS[:1], datetime.max) if at >= START)
        market.clock.at = bar_at + timedelta(seconds=59)
        feed: Any = polls.feed
        polls.until(lambda: SYMBOLS[0] in feed._forming._seconds)
        assert forming(polls.last.forming, SYMBOLS[0]) == []


def forming(table: pa.Table | None, symbol: str) -> list[datetime]:
    assert table is not None
    return [row["bar_at"] for row in table.to_pylist() if row["symbol"] == symbol]


def second(at: int, close: float, volume: float, sym: str = "BRK.B") -> dict[str, Any]:
    start = (OPEN - datetime(1970, 1, 1)).total_seconds() + at
    prices = {"o": close - 0.1, "h": close + 0.2, "l": close - 0.3, "c": close}
    return {
        "ev": "A",
        "sym": sym,
        "s": start * 1000,
        "e": start * 1000 + 1000,
        "v": volume,
        **prices,
    }


def test_forming_bar_adds_up_its_seconds() -> None:
    bars = FormingBars()
    for event in (second(5, 5.0, 100), second(9, 6.0, 50), second(9, 6.5, 60)):
        bars.add(event)
    (row,) = bars.table(["BRK-B"], DAY, OPEN + timedelta(seconds=10)).to_pylist()
    assert row == {
        "symbol": "BRK-B", "session_date": DAY, "bar_at": OPEN, "open": 4.9, "high": 6.7,
        "low": 4.7, "close": 6.5, "volume": 160.0,
    }  # fmt: skip


def test_minute_bar_wins_over_its_seconds() -> None:
    bars = FormingBars()
    bars.add(second(5, 5.0, 100))
    bars.close("BRK-B", OPEN)
    bars.add(second(59, 7.0, 100))
    assert bars.table(["BRK-B"], DAY, OPEN + timedelta(seconds=10)).num_rows == 0


def test_ended_minute_is_not_forming() -> None:
    bars = FormingBars()
    bars.add(second(5, 5.0, 100))
    assert bars.table(["BRK-B"], DAY, OPEN + MINUTE).num_rows == 0


@pytest.mark.parametrize("frame", ["", "{}", "[1]", '[{"ev":"AM"', b"\xff\xfe", "[" * 100_000])
def test_frame_that_is_no_array_of_events_is_refused(frame: str | bytes) -> None:
    with pytest.raises(ValueError, match="frame"):
        events_of(frame)


@pytest.mark.parametrize("stamp", [None, "soon", True, -1, 1e300, float("nan")])
def test_unreadable_start_is_left_for_landing_to_reject(stamp: Any) -> None:
    (row,) = bars_table([{"sym": "AAA", "s": stamp, "o": "x", "v": 1}], DAY).to_pylist()
    assert (row["bar_at"], row["open"], row["volume"]) == (None, None, 1.0)


@pytest.mark.parametrize("url", ["https://socket.massive.com", "ws://socket.massive.com/stocks"])
def test_address_without_tls_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="WebSocket"):
        StreamConnection(url, MassiveDialogue("demo"), HandClock(START))


def test_fmp_stream_triggers_one_read_a_bar() -> None:
    with simulated_market(AFTER) as market:
        with polling(market.fmp_stream_feed(), market.clock) as polls:
            polls.until(lambda: market.sockets.client_count == 1 and polls.has_bars_to(START))
            reads, minutes = market.reads(), 10
            for moment in minutes_from(START, minutes):
                for late in range(0, 60, 5):
                    market.clock.at = moment + timedelta(seconds=late)
                    polls.poll()
                    if late == 0:
                        polls.until(lambda: polls.has_bars_to(moment - timedelta(seconds=3)))  # noqa: B023
        assert polls.has_bars_to(START + minutes * MINUTE)
        assert market.reads() - reads <= len(SYMBOLS) * (2 * minutes + 2)


QUOTE = '{"symbol": "%s", "price": 5.0, "volume": %d, "timestamp": 1762353000}'
FMP_LET_IN = '{"event":"login","data":{"status":200,"message":"Authenticated"}}'


def test_quote_that_is_sent_again_is_no_trade() -> None:
    quotes = [QUOTE % (symbol, 1_000_000) for symbol in SYMBOLS]
    with (
        simulated_market(AFTER) as market,
        scripted_socket(None, FMP_LET_IN, None, *quotes) as (url, _, connections),
        polling(market.fmp_stream_feed(url=url), market.clock) as polls,
    ):
        feed: Any = polls.feed
        polls.until(lambda: len(feed._volumes) == len(SYMBOLS))
        for minute in range(1, 5):
            market.clock.at = START + timedelta(minutes=minute, seconds=1)
            for quote in (*quotes, *[QUOTE % (SYMBOLS[0], 1_000_500)] * (minute == 4)):
                connections[0].send(quote)
            polls.until(lambda: feed._heard_at == market.clock.at)
        polls.until(lambda: feed._volumes[SYMBOLS[0]] == 1_000_500)
        active = [feed._reads.watches[symbol].active_to for symbol in SYMBOLS[:2]]
        assert active[0] > market.clock.at > active[1]


def test_fmp_bytes_count_against_the_bandwidth() -> None:
    quotes = [QUOTE % (symbol, 1_000_000) for symbol in SYMBOLS]
    with (
        simulated_market(AFTER) as market,
        scripted_socket(None, FMP_LET_IN, None, *quotes) as (url, _, _),
        polling(market.fmp_stream_feed(url=url), market.clock) as polls,
    ):
        polls.until(lambda: len(polls.feed._volumes) == len(SYMBOLS))  # type: ignore[attr-defined]
        sent = sum(row["byte_count"] for row in polls.last.requests)
        assert market.budget.bytes_used >= sent + sum(map(len, quotes))


def test_fmp_silence_without_heartbeats_is_told() -> None:
    with (
        simulated_market(AFTER, stall=1.0) as market,
        polling(market.fmp_stream_feed(), market.clock) as polls,
    ):
        polls.until(lambda: market.sockets.client_count == 1 and STREAM not in polls.last.failures)
        market.clock.at += timedelta(seconds=130)
        polls.until(lambda: "silent" in polls.last.failures.get(STREAM, ""))
        polls.until(lambda: polls.has_bars_to(START + 2 * MINUTE))


def test_fmp_refused_key_is_told_and_bars_are_read_all_the_same() -> None:
    with (
        simulated_market(AFTER) as market,
        polling(market.fmp_stream_feed(key="sesame"), market.clock) as polls,
    ):
        polls.until(lambda: "FMP_API_KEY" in polls.last.failures.get(STREAM, ""))
        market.clock.at = START + timedelta(minutes=3, seconds=6)
        polls.until(lambda: polls.has_bars_to(START + 3 * MINUTE))
        assert market.sockets.logins == 1


def test_fmp_second_connection_is_told_and_tried_again() -> None:
    with (
        simulated_market(AFTER) as market,
        polling(market.fmp_stream_feed(), market.clock) as first,
        polling(market.fmp_stream_feed(), market.clock) as second,
    ):
        first.until(lambda: market.sockets.client_count == 1)
        second.until(lambda: "Maximum number" in second.last.failures.get(STREAM, ""))
        logins = market.sockets.logins
        second.until(lambda: market.sockets.logins > logins)


def test_symbols_are_those_of_the_market() -> None:
    assert all(MARKET.minutes(symbol, DAY)["bar_at"].size > 400 for symbol in SYMBOLS)
