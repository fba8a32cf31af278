"""Bars and quotes by the market's clock: nothing is known before it has happened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from ingest.simulator.generated import GeneratedMarket
from tests.simulator_client import Client, serving

MARKET = GeneratedMarket(seed=7, symbol_count=60)
RUNNER = MARKET.watchlist_grade()[0]
THURSDAY = date(2025, 9, 4)
OPEN_AT = datetime(2025, 9, 4, 13, 30)
CLOSE_AT = datetime(2025, 9, 4, 20, 0)
CHART = "historical-chart/1min"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(MARKET, CLOSE_AT) as client:
        yield client


def _stamps(client: Client, **params: str) -> list[str]:
    return [row["date"] for row in client.get(CHART, symbol=RUNNER, **params).json()]


def _at(client: Client, moment: datetime) -> Client:
    client.clock.moment = moment
    return client


def test_minutes_are_newest_first_in_new_york_time(client: Client) -> None:
    stamps = _stamps(_at(client, CLOSE_AT), from_="2025-09-04", to="2025-09-04")
    assert stamps == sorted(stamps, reverse=True)
    assert (stamps[-1], stamps[0]) == ("2025-09-04 09:30:00", "2025-09-04 15:59:00")


def test_long_window_is_cut_without_a_word(client: Client) -> None:
    stamps = _stamps(_at(client, CLOSE_AT), from_="2025-01-02", to="2025-09-04")
    assert {stamp[:10] for stamp in stamps} == {"2025-09-02", "2025-09-03", "2025-09-04"}
    assert stamps[-1] == "2025-09-02 09:31:00"


def test_without_dates_two_sessions_come(client: Client) -> None:
    stamps = _stamps(_at(client, CLOSE_AT))
    assert {stamp[:10] for stamp in stamps} == {"2025-09-03", "2025-09-04"}


def test_reversed_range_gives_the_last_day(client: Client) -> None:
    stamps = _stamps(_at(client, CLOSE_AT), from_="2025-09-04", to="2025-09-02")
    assert {stamp[:10] for stamp in stamps} == {"2025-09-02"}


def test_reversed_range_of_daily_bars_is_empty(client: Client) -> None:
    path, days = "historical-price-eod/full", {"from_": "2025-09-03", "to": "2025-09-02"}
    assert _at(client, CLOSE_AT).get(path, symbol=RUNNER, **days).text == "[]"


def test_extended_hours_leave_regular_bars_as_they_are(client: Client) -> None:
    _at(client, CLOSE_AT + timedelta(hours=5))
    day = {"from_": "2025-09-04", "to": "2025-09-04"}
    plain = client.get(CHART, symbol=RUNNER, **day).json()
    whole = client.get(CHART, symbol=RUNNER, extended="true", **day).json()
    regular = [row for row in whole if "09:30" <= row["date"][11:16] < "16:00"]
    assert regular == plain
    assert len(whole) > len(plain)


def test_half_day_ends_at_thirteen_and_post_at_seventeen(client: Client) -> None:
    _at(client, datetime(2024, 11, 30))
    day = {"from_": "2024-11-29", "to": "2024-11-29"}
    whole = _stamps(client, extended="true", **day)
    assert _stamps(client, **day)[0] == "2024-11-29 12:59:00"
    assert "2024-11-29 16:00:00" < whole[0] < "2024-11-29 17:00:00"


def test_today_is_empty_before_its_first_bar(client: Client) -> None:
    _at(client, datetime(2025, 9, 4, 7, 59))
    assert _stamps(client, extended="true", from_="2025-09-04", to="2025-09-04") == []


def _last_bar(client: Client, moment: datetime) -> dict[str, float | str]:
    day = {"from_": "2025-09-04", "to": "2025-09-04"}
    row: dict[str, float | str] = _at(client, moment).get(CHART, symbol=RUNNER, **day).json()[0]
    return row


def test_running_minute_is_served_as_it_stands(client: Client) -> None:
    half = _last_bar(client, OPEN_AT + timedelta(seconds=90))
    whole = _last_bar(client, OPEN_AT + timedelta(seconds=120))
    assert half["date"] == whole["date"] == "2025-09-04 09:31:00"
    assert half["open"] == whole["open"]
    assert half["volume"] == whole["volume"] // 2


def test_no_bar_comes_before_its_minute(client: Client) -> None:
    for minute in (1, 17, 200):
        now = OPEN_AT + timedelta(minutes=minute, seconds=-1)
        assert _last_bar(client, now)["date"] <= f"{now - timedelta(hours=4):%Y-%m-%d %H:%M}:00"


def test_todays_daily_bar_waits_for_the_close(client: Client) -> None:
    path = "historical-price-eod/non-split-adjusted"
    before = _at(client, CLOSE_AT - timedelta(seconds=1)).get(path, symbol=RUNNER).json()
    after = _at(client, CLOSE_AT).get(path, symbol=RUNNER).json()
    assert (before[0]["date"], after[0]["date"]) == ("2025-09-03", "2025-09-04")


@pytest.mark.parametrize(
    ("moment", "session_date"),
    [
        (datetime(2025, 9, 4, 12, 0), date(2025, 9, 3)),
        (datetime(2025, 9, 4, 22, 0), date(2025, 9, 4)),
        (datetime(2025, 9, 6, 15, 0), date(2025, 9, 5)),
    ],
)
def test_quote_out_of_hours_is_the_last_close(
    client: Client, moment: datetime, session_date: date
) -> None:
    row = _at(client, moment).get("quote", symbol=RUNNER).json()[0]
    assert row["price"] == MARKET.daily(RUNNER, session_date, session_date)["close"][0]
    assert row["timestamp"] == datetime.fromisoformat(f"{session_date}T20:00:01+00:00").timestamp()


def test_quote_in_session_is_the_newest_bar(client: Client) -> None:
    last = _last_bar(client, OPEN_AT + timedelta(minutes=47, seconds=20))
    assert client.get("quote", symbol=RUNNER).json()[0]["price"] == last["close"]


@pytest.mark.parametrize("moment", [OPEN_AT - timedelta(minutes=5), OPEN_AT + timedelta(hours=1)])
def test_bid_is_below_ask_around_the_clock(client: Client, moment: datetime) -> None:
    row = _at(client, moment).get("aftermarket-quote", symbol=RUNNER).json()[0]
    assert 0 < row["askPrice"] - row["bidPrice"] < 0.02 * row["askPrice"]
    asked_at = (moment - datetime(1970, 1, 1)).total_seconds()
    assert 0 <= asked_at - row["timestamp"] / 1000 < 60


def _splitter() -> tuple[str, date, float]:
    split = next(
        split
        for split in MARKET.splits()
        if split.denominator > 1 and date(2024, 1, 1) < split.split_date < date(2025, 6, 1)
    )
    return split.symbol, split.split_date, split.numerator / split.denominator


def test_minutes_are_adjusted_unless_told_otherwise(client: Client) -> None:
    symbol, split_date, factor = _splitter()
    _at(client, datetime.combine(split_date, datetime.min.time()) + timedelta(days=1))
    before = np.busday_offset(split_date, -1, roll="backward").item()
    day = {"symbol": symbol, "from_": str(before), "to": str(before)}
    raw = client.get(CHART, nonadjusted="true", **day).json()[0]
    told = client.get(CHART, **day).json()[0]
    assert told["close"] == pytest.approx(raw["close"] / factor, abs=0.0051)
    assert told["volume"] == pytest.approx(raw["volume"] * factor)


def test_split_is_unknown_before_its_day(client: Client) -> None:
    symbol, split_date, _ = _splitter()
    day = datetime.combine(split_date, datetime.min.time())
    eve = _at(client, day).get("splits", symbol=symbol).json()
    morning = _at(client, day + timedelta(hours=9)).get("splits", symbol=symbol).json()
    assert len(morning) == len(eve) + 1


def test_renamed_symbol_takes_its_history_along(client: Client) -> None:
    change = MARKET.symbol_changes()[-1]
    day = datetime.combine(change.change_date, datetime.min.time())
    path, since = "historical-price-eod/light", {"from_": str(change.change_date.replace(day=1))}
    old = _at(client, day).get(path, symbol=change.old_symbol, **since).json()
    new = _at(client, day + timedelta(hours=9)).get(path, symbol=change.new_symbol, **since).json()
    assert [row["price"] for row in new] == [row["price"] for row in old]
    assert client.get(path, symbol=change.old_symbol).text == "[]"


def test_delisting_is_announced_then_done(client: Client) -> None:
    symbol, gone = next(
        (symbol, profile.delisted_date)
        for symbol in MARKET.symbols()
        if (profile := MARKET.profile(symbol)).delisted_date
        and profile.delisted_date > date(2024, 1, 1)
    )
    day = datetime.combine(gone, datetime.min.time())
    announced = _at(client, day - timedelta(days=5)).get("delisted-companies").json()
    assert announced[0]["symbol"] == symbol
    assert client.get("profile", symbol=symbol).json()[0]["isActivelyTrading"] is True
    _at(client, day + timedelta(hours=9))
    assert client.get("profile", symbol=symbol).json()[0]["isActivelyTrading"] is False
