"""Polling: what is asked for and when, against the simulated market and against counted calls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta

import pyarrow as pa
import pytest
import requests

from ingest.budget import CallBudget
from ingest.providers.errors import FetchRecord, NotInPlanError, UnreachableError
from ingest.providers.fmp import Answer, FmpClient
from ingest.simulator.generated import GeneratedMarket
from ingest.simulator.server import SimulatedServer
from live.feeds import Polled
from live.feeds.poll import PollFeed
from live.sessions import Session
from tests.bench.feeds import poll_market, watched
from tests.live_fixture import CLOSE, DAY, OPEN, POST, PRE, SESSION, HandClock, bar

MINUTE = timedelta(minutes=1)
T = OPEN + timedelta(minutes=30)


class CountingClient:
    """A client of a market in which the symbols of `trading` trade at second 30 of every minute."""

    def __init__(self, clock: HandClock, trading: set[str]) -> None:
        self.clock = clock
        self.trading = trading
        self.calls: list[tuple[str, datetime]] = []
        self.refused: set[str] = set()
        self.failing: set[str] = set()
        self.hanging: set[str] = set()

    def _record(self, endpoint: str) -> FetchRecord:
        self.calls.append((endpoint, self.clock.at))
        return FetchRecord(endpoint, self.clock.at, outcome="ok")

    def minute_bars(
        self, symbol: str, session_date: date, extended: bool = True, *, recheck_first: bool = True
    ) -> Answer:
        record = self._record(symbol)
        if symbol in self.failing:
            raise UnreachableError(f"{symbol}: no answer in time")
        if symbol in self.hanging:
            time.sleep(0.4)
        count = 1 + int((self.clock.at - T) / MINUTE) if symbol in self.trading else 1
        rows = [bar(symbol, T + n * MINUTE, 5.0) for n in range(count)]
        return Answer(pa.Table.from_pylist(rows), record)

    def _volumes(self, symbols: Sequence[str]) -> list[float]:
        traded = 100.0 * ((self.clock.at + MINUTE / 2 - T) // MINUTE)
        return [traded if symbol in self.trading else 7.0 for symbol in symbols]

    def _batch(self, endpoint: str, symbols: Sequence[str], **columns: pa.Array) -> Answer:
        record = self._record(endpoint)
        if endpoint in self.refused:
            raise NotInPlanError(f"{endpoint}: not in your FMP plan")
        table = {"symbol": list(symbols), "volume": self._volumes(symbols), **columns}
        return Answer(pa.table(table), record)

    def batch_quote(self, symbols: Sequence[str]) -> Answer:
        return self._batch("trades", symbols)

    def batch_aftermarket_quote(self, symbols: Sequence[str]) -> Answer:
        times = pa.array([self.clock.at] * len(symbols), pa.timestamp("us"))
        return self._batch("quotes", symbols, quoted_at=times)

    def per_symbol(self) -> Counter[str]:
        return Counter(name for name, _ in self.calls if name not in ("trades", "quotes"))


SYMBOLS = [f"S{number}" for number in range(50)]


@contextmanager
def polling(trading: set[str]) -> Iterator[tuple[PollFeed, CountingClient, HandClock]]:
    clock = HandClock(T)
    client = CountingClient(clock, trading)
    feed = PollFeed(client, clock, patience_seconds=0.1)
    try:
        yield feed, client, clock
    finally:
        feed.close()


def poll_for(
    feed: PollFeed, clock: HandClock, minutes: float, symbols: Sequence[str] = SYMBOLS
) -> list[Polled]:
    """Poll every 5 seconds for some minutes."""
    polls = []
    for _ in range(int(minutes * 12)):
        polls.append(feed.poll(SESSION, symbols, clock.at))
        clock.at += timedelta(seconds=5)
    return polls


def test_first_poll_reads_every_symbol() -> None:
    with polling(set()) as (feed, client, clock):
        poll_for(feed, clock, 1 / 12)
        assert client.per_symbol() == dict.fromkeys(SYMBOLS, 1)


def test_fifty_trading_symbols_take_under_a_hundred_calls_a_minute() -> None:
    with polling(set(SYMBOLS)) as (feed, client, clock):
        poll_for(feed, clock, 6)
        calls = Counter(at.replace(second=0) for _, at in client.calls)
        assert max(calls.values()) <= 100


@pytest.mark.parametrize("start", [OPEN - timedelta(minutes=30), OPEN])
def test_simulated_market_costs_under_a_hundred_calls_a_minute(start: datetime) -> None:
    market = GeneratedMarket()
    cost = poll_market(market, watched(market, 50), start, minutes=8)
    assert cost.most <= 100
    assert cost.missing == 0


def test_trading_symbol_is_read_soon_after_each_minute() -> None:
    with polling({"S1"}) as (feed, client, clock):
        poll_for(feed, clock, 5)
        reads = [at for name, at in client.calls if name == "S1" and at >= T + MINUTE]
        assert {at.replace(second=0) for at in reads} == {T + n * MINUTE for n in range(1, 5)}
        assert all(at.second <= 5 for at in reads)


def test_quiet_symbol_is_read_twice_more_for_revisions() -> None:
    with polling({"S1"}) as (feed, client, clock):
        poll_for(feed, clock, 15)
        rereads = [(at - T) // MINUTE for name, at in client.calls if name == "S2"]
        assert rereads[-2:] == [4, 9]
        assert len(rereads) <= 5


def test_forming_bar_is_left_out() -> None:
    with polling({"S1"}) as (feed, _, clock):
        clock.at = T + timedelta(seconds=150)
        (polled,) = poll_for(feed, clock, 1 / 12, ["S1"])
        assert polled.bars[0]["bar_at"].to_pylist() == [T, T + MINUTE]


def test_without_batch_quotes_every_symbol_is_read_every_minute() -> None:
    with polling({"S1"}) as (feed, client, clock):
        client.refused = {"trades", "quotes"}
        poll_for(feed, clock, 4)
        assert min(client.per_symbol()[symbol] for symbol in SYMBOLS) >= 4
        assert "batch-quote is not in the FMP plan" in " ".join(feed.notes)
        assert Counter(name for name, _ in client.calls)["trades"] == 1


def test_failing_symbol_is_named_and_the_others_go_on() -> None:
    with polling(set(SYMBOLS)) as (feed, client, clock):
        client.failing = {"S3"}
        last = poll_for(feed, clock, 3)[-1]
        assert last.failures == {"S3": "S3: no answer in time"}
        assert min(n for symbol, n in client.per_symbol().items() if symbol != "S3") >= 3


def test_failure_is_forgotten_once_it_works_again() -> None:
    with polling(set(SYMBOLS)) as (feed, client, clock):
        client.failing = {"S3"}
        poll_for(feed, clock, 1)
        client.failing = set()
        assert poll_for(feed, clock, 3)[-1].failures == {}


def test_slow_answer_is_collected_later() -> None:
    with polling(set()) as (feed, client, clock):
        client.hanging = {"S1"}
        clock.at = T + MINUTE
        (first,) = poll_for(feed, clock, 1 / 12, ["S1", "S2"])
        time.sleep(0.6)
        (second,) = poll_for(feed, clock, 1 / 12, ["S1", "S2"])
        names = [{*polled.bars[0]["symbol"].to_pylist()} for polled in (first, second)]
        assert names == [{"S2"}, {"S1"}]


def test_minutes_between_polls_are_all_brought() -> None:
    with polling({"S1"}) as (feed, _, clock):
        poll_for(feed, clock, 1 / 12, ["S1"])
        clock.at = T + timedelta(minutes=7, seconds=20)
        (polled,) = poll_for(feed, clock, 1 / 12, ["S1"])
        assert polled.bars[0].num_rows == 7


def test_requests_are_logged_apart_from_the_jobs() -> None:
    with polling(set()) as (feed, _, clock):
        (polled,) = poll_for(feed, clock, 1 / 12, ["S1"])
        assert {row["endpoint"] for row in polled.requests} == {
            "live_quotes", "live_trades", "live_S1",
        }  # fmt: skip


MARKET = GeneratedMarket(seed=7, symbol_count=40)


@contextmanager
def simulated(start_at: datetime, plan: str = "ultimate") -> Iterator[tuple[PollFeed, HandClock]]:
    clock = HandClock(start_at)
    with SimulatedServer(MARKET, clock, plan=plan, keys={"demo"}) as server:  # type: ignore[arg-type]
        client = FmpClient(
            server.base_url, "demo", CallBudget("ultimate", clock), clock, requests.Session()
        )
        feed = PollFeed(client, clock, patience_seconds=20)
        try:
            yield feed, clock
        finally:
            feed.close()


def test_simulated_markets_bars_come_as_they_close() -> None:
    symbols = MARKET.watchlist_grade()[:3]
    session = Session(DAY, PRE, OPEN, CLOSE, POST + MINUTE)
    with simulated(OPEN + timedelta(minutes=5, seconds=3)) as (feed, clock):
        seen: set[tuple[str, datetime]] = set()
        for _ in range(24):
            for bars in feed.poll(session, symbols, clock.at).bars:
                assert all(at + MINUTE <= clock.at for at in bars["bar_at"].to_pylist())
                seen |= set(
                    zip(bars["symbol"].to_pylist(), bars["bar_at"].to_pylist(), strict=True)
                )
            clock.at += timedelta(seconds=5)
        until = OPEN + timedelta(minutes=6)
        expected = {
            (symbol, at.item())
            for symbol in symbols
            for at in MARKET.minutes(symbol, DAY)["bar_at"].astype("datetime64[us]")
            if at.item() < until
        }
        assert expected <= seen


def test_plan_without_minute_bars_is_told_as_everyones_failure() -> None:
    symbols = MARKET.watchlist_grade()[:3]
    with simulated(OPEN + timedelta(minutes=5), plan="starter") as (feed, clock):
        polled = feed.poll(SESSION, symbols, clock.at)
        assert "not in your FMP plan" in polled.failures["*"]
