"""What a client may ask of the service: how often, and how much at once."""

from __future__ import annotations

from pathlib import Path

from tests.live_fixture import build
from tests.live_server import serving


def test_requests_a_minute_are_limited(tmp_path: Path) -> None:
    settings = build(tmp_path).model_copy(update={"live_requests_per_minute": 3})
    with serving(settings) as running:
        statuses = [running.get("/signals").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert {running.get(path).status_code for path in ("/", "/metrics")} == {200}


def test_limit_counts_every_route_together(tmp_path: Path) -> None:
    settings = build(tmp_path).model_copy(update={"live_requests_per_minute": 2})
    with serving(settings) as running:
        statuses = [
            running.get(path).status_code for path in ("/signals", "/watchlist", "/why/AAA")
        ]
        assert statuses == [200, 200, 429]


def test_too_large_a_body_is_refused(tmp_path: Path) -> None:
    with serving(build(tmp_path)) as running:
        answer = running.sql("select 1 -- " + "x" * 300_000)
        assert answer.status_code == 413


def test_too_long_a_query_is_refused(tmp_path: Path) -> None:
    with serving(build(tmp_path)) as running:
        assert "100,000 characters" in running.sql("select 1 -- " + "x" * 100_000).text
