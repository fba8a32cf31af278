"""Two feeds: who is polled, who takes over and when, whose rows land, and what is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import requests

from ingest.providers.fmp import FmpClient
from ingest.simulator.socket_faults import SocketFaults
from live.feeds import Polled
from live.feeds.failover import FailoverFeed, Named
from live.feeds.poll import PollFeed
from live.sessions import Session
from live.warehouse import open_live
from tests.live_fixture import MINUTE, NEXT_DAY, OPEN, PRE, SESSION, bar, build
from tests.stream_fixture import SYMBOLS, Market, Polling, polling, simulated_market

START = OPEN + timedelta(minutes=30)
AFTER = START + timedelta(seconds=3)
STALE = timedelta(seconds=90)


@dataclass
class Spoken:
    """A feed that worked when it is told it did, and counts what it is asked."""

    provider: str
    works_at: datetime | None = None
    notes: Sequence[str] = ()
    failures: dict[str, str] = field(default_factory=dict)
    polls: int = 0
    stand_bys: int = 0

    def poll(self, session: Session, symbols: Sequence[str], now: datetime) -> Polled:
        self.polls += 1
        return Polled(failures=dict(self.failures))

    def stand_by(self) -> None:
        self.stand_bys += 1

    def close(self) -> None:
        self.polls = -1


def pair() -> tuple[FailoverFeed, Spoken, Spoken]:
    first, second = Spoken("massive"), Spoken("fmp")
    return FailoverFeed(Named("massive", first), Named("poll", second), STALE), first, second


def poll_at(feed: FailoverFeed, *seconds: float, session: Session = SESSION) -> Polled:
    """Poll at some seconds after START; return what the last poll brought."""
    for late in seconds:
        polled = feed.poll(session, SYMBOLS, START + timedelta(seconds=late))
    return polled


def test_second_feed_is_not_polled_while_the_first_works() -> None:
    feed, first, second = pair()
    for late in range(0, 600, 5):
        first.works_at = START + timedelta(seconds=late - 60)
        poll_at(feed, late)
    assert (feed.provider, second.polls) == ("massive", 0)


def test_second_feed_takes_over_after_the_limit() -> None:
    feed, _, second = pair()
    poll_at(feed, 0, 90)
    assert second.polls == 0
    polled = poll_at(feed, 91)
    assert (feed.provider, second.polls) == ("fmp", 1)
    assert "poll has taken over from massive at 15:01:31" in polled.failures["massive"]


def test_first_feed_is_polled_all_the_same() -> None:
    feed, first, _ = pair()
    poll_at(feed, 0, 91, 96, 101)
    assert first.polls == 4


def test_first_feed_is_back_once_it_works() -> None:
    feed, first, second = pair()
    poll_at(feed, 0, 91)
    first.works_at = START + timedelta(seconds=95)
    assert poll_at(feed, 96).failures == {}
    assert (feed.provider, second.stand_bys) == ("massive", 1)


def test_both_failing_are_told() -> None:
    feed, first, second = pair()
    first.failures, second.failures = {"*": "stream is down"}, {"*": "no connection"}
    failures = poll_at(feed, 0, 91).failures
    assert failures["*"] == "no connection"
    assert failures["massive"].startswith("stream is down: poll has taken over")


def test_silence_after_the_session_is_no_reason() -> None:
    feed, _, second = pair()
    ended = replace(SESSION, post_close_at=START)
    poll_at(feed, 0, 100, session=ended)
    assert second.polls == 0


def test_new_session_begins_with_the_first_feed() -> None:
    feed, _, _ = pair()
    poll_at(feed, 0, 91)
    poll_at(feed, 92, session=replace(SESSION, session_date=NEXT_DAY))
    assert feed.provider == "massive"


def test_both_feeds_are_closed() -> None:
    feed, first, second = pair()
    feed.close()
    assert (first.polls, second.polls) == (-1, -1)


def poll_feed(market: Market) -> PollFeed:
    client = FmpClient(
        market.server.base_url, "demo", market.budget, market.clock, requests.Session()
    )
    return PollFeed(client, market.clock, patience_seconds=10)


@contextmanager
def massive_then_poll(at: datetime = AFTER, **faults: float) -> Iterator[tuple[Market, Polling]]:
    with simulated_market(at, **faults) as market:
        first = Named("massive", market.massive_feed())
        feed = FailoverFeed(first, Named("poll", poll_feed(market)), STALE)
        with polling(feed, market.clock) as polls:
            yield market, polls


def fmp_calls(market: Market) -> int:
    return sum(request.path.startswith("/stable") for request in market.server.requests)


def stall(market: Market, polls: Polling) -> None:
    """Let the stream fall silent after the minute that has begun, which is told to its end."""
    market.sockets.faults = SocketFaults(stall=1.0)
    to_minute(market, polls, 1)


def to_minute(market: Market, polls: Polling, minute: int) -> None:
    """Go to a minute's end, and wait until the stream has told of it."""
    market.clock.at = AFTER + minute * MINUTE
    stream = polls.feed._first.feed  # type: ignore[attr-defined]
    polls.until(lambda: stream.works_at == market.clock.at)
    polls.until(lambda: polls.has_bars_to(START + minute * MINUTE))


def advance(market: Market, polls: Polling, to: datetime) -> None:
    """Poll every five seconds."""
    while market.clock.at < to:
        market.clock.at += timedelta(seconds=5)
        polls.poll()


def test_polled_feed_costs_nothing_while_the_stream_works() -> None:
    with massive_then_poll() as (market, polls):
        polls.until(lambda: polls.has_bars_to(START))
        for minute in range(1, 6):
            to_minute(market, polls, minute)
        assert fmp_calls(market) == 0
        assert polls.feed.provider == "massive"


def test_stalled_stream_is_replaced_and_no_bar_is_lost() -> None:
    with massive_then_poll() as (market, polls):
        polls.until(lambda: polls.has_bars_to(START))
        stall(market, polls)
        advance(market, polls, AFTER + 5 * MINUTE)
        polls.until(lambda: polls.has_bars_to(START + 5 * MINUTE))
        assert polls.feed.provider == "fmp"
        assert "poll has taken over" in polls.last.failures["massive"]


def test_stream_takes_its_place_back() -> None:
    with massive_then_poll() as (market, polls):
        polls.until(lambda: polls.has_bars_to(START))
        stall(market, polls)
        advance(market, polls, AFTER + 4 * MINUTE)
        assert polls.feed.provider == "fmp"
        market.sockets.faults = SocketFaults()
        market.clock.at += 2 * MINUTE
        polls.until(lambda: polls.feed.provider == "massive")
        calls = fmp_calls(market)
        advance(market, polls, AFTER + 7 * MINUTE)
        assert fmp_calls(market) == calls
        assert "poll stands by for massive" in polls.feed.notes


def test_quiet_hours_are_not_taken_for_a_stall() -> None:
    with massive_then_poll(PRE + timedelta(seconds=3), stall=1.0) as (market, polls):
        polls.until(lambda: market.sockets.client_count == 1 and not polls.last.failures)
        market.clock.at += 10 * MINUTE
        polls.poll()
        assert polls.feed.provider == "massive"
        market.clock.at += 10 * MINUTE
        polls.poll()
        assert polls.feed.provider == "fmp"


def test_refused_key_brings_the_second_feed() -> None:
    with simulated_market(AFTER) as market:
        first = Named("massive", market.massive_feed(key="wrong"))
        feed = FailoverFeed(first, Named("poll", poll_feed(market)), STALE)
        with polling(feed, market.clock) as polls:
            polls.until(lambda: "*" in polls.last.failures)
            market.clock.at += 2 * MINUTE
            polls.until(lambda: polls.has_bars_to(START + 2 * MINUTE))
            assert "MASSIVE_API_KEY" in polls.last.failures["massive"]


def test_stream_that_stands_by_is_not_connected() -> None:
    with simulated_market(AFTER) as market:
        second = Named("massive", market.massive_feed())
        feed = FailoverFeed(Named("poll", poll_feed(market)), second, STALE)
        with polling(feed, market.clock) as polls:
            polls.until(lambda: polls.has_bars_to(START))
            assert market.sockets.logins == 0
            feed._stale_after = timedelta(seconds=-1)
            polls.until(lambda: market.sockets.client_count == 1)
            feed._stale_after = STALE
            polls.until(lambda: market.sockets.client_count == 0)


def test_rows_land_with_the_provider_they_come_from(tmp_path: Path) -> None:
    settings = build(tmp_path)
    polled = Polled(bars=[table(bar("AAA", START, 5.0))])
    polled.others["massive"] = Polled(bars=[table(bar("AAA", START, 5.1), bar("AAA", AFTER, 1.0))])
    with open_live(settings.live_path, settings.published_path) as warehouse:
        landing = warehouse.land_poll(polled, "fmp", AFTER)
    with duckdb.connect(settings.live_path) as connection:
        rows = connection.execute("select provider, close from raw.bars_1m order by 1").fetchall()
    assert rows == [("fmp", 5.0), ("massive", 5.1)]
    assert (landing.inserted, landing.rejected) == (2, 1)


def table(*rows: dict[str, object]) -> pa.Table:
    return pa.Table.from_pylist(list(rows))
