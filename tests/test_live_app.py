"""The service over real sockets: its HTTP routes, and who may ask."""

from __future__ import annotations

import threading

import pytest
from pydantic import SecretStr
from websockets.sync.client import connect

from ingest.settings import Settings
from tests.live_server import Running, one_break_out, serving, wait_until


def test_signals_route_has_the_websockets_payloads(running: Running) -> None:
    with connect(running.ws) as client:
        one_break_out(running)
        sent = client.recv(timeout=10)
    assert running.get("/signals?since=0").text == f"[{sent}]"


def test_health_tells_session_and_newest_bar(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: running.service.monitor.newest_bar_at is not None)
    health = running.get("/").json()
    assert (health["status"], health["session_segment"]) == ("ok", "RTH")
    assert health["last_bar_at"] == {"fmp": "2025-11-05T15:01:00Z"}


def test_watchlist_is_the_sessions(running: Running) -> None:
    answer = running.get("/watchlist").json()
    assert answer["session_date"] == "2025-11-05"
    assert [row["symbol"] for row in answer["symbols"]] == ["AAA", "BRK-B"]


def test_bars_and_features_are_the_views(running: Running) -> None:
    one_break_out(running)
    wait_until(lambda: running.service.monitor.newest_bar_at is not None)
    (newest,) = running.get("/features/aaa").json()
    assert (newest["rvol_1m"], newest["state"], newest["bar_at"]) == (
        3.2, "RePump", "2025-11-05T15:01:00Z",
    )  # fmt: skip
    assert [row["close"] for row in running.get("/bars/AAA").json()] == [5.0, 5.2]


def test_class_shares_are_found_by_either_spelling(running: Running) -> None:
    assert running.get("/bars/brk.b").json() == []


def test_unknown_symbol_is_told_in_one_line(running: Running) -> None:
    answer = running.get("/features/NOPE")
    assert (answer.status_code, answer.json()["detail"]) == (
        404, "NOPE is not on the watchlist (see /why/NOPE)",
    )  # fmt: skip


def test_schema_and_metrics_are_served(running: Running) -> None:
    assert "/watchlist" in running.get("/schema").json()["paths"]
    assert "repump_ticks_total" in running.get("/metrics").text


def test_negative_since_is_refused(running: Running) -> None:
    assert running.get("/signals?since=-1").status_code == 400


def test_foreign_host_name_is_refused(running: Running) -> None:
    assert running.get("/", host="elsewhere.example").status_code == 403


@pytest.mark.parametrize(
    ("sent", "status"), [({}, 401), ({"authorization": "Bearer wrong"}, 401),
                         ({"authorization": "Bearer secret"}, 200)]
)  # fmt: skip
def test_other_addresses_need_the_token(
    settings: Settings, sent: dict[str, str], status: int
) -> None:
    open_to_all = settings.model_copy(
        update={"live_host": "0.0.0.0", "live_token": SecretStr("secret")}
    )
    with serving(open_to_all) as running:
        assert running.get("/", **sent).status_code == status


def test_event_loop_serves_while_a_tick_blocks(running: Running) -> None:
    blocked, release = threading.Event(), threading.Event()

    def slow_poll(*_: object) -> None:
        blocked.set()
        release.wait(10)
        raise RuntimeError("the provider hung")

    running.feed.poll = slow_poll  # type: ignore[assignment,method-assign]
    assert blocked.wait(10)
    assert running.get("/").status_code == 200
    release.set()
    wait_until(lambda: "the provider hung" in running.service.monitor.problems.get("tick", ""))
