"""Massive's aggregates over REST: keys, plans, limits, and the envelope of an answer.

Only a multiplier of 1 and the spans `minute` and `day` are simulated. Ingest asks for nothing else.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ingest.simulator.aggregates import (
    PATH,
    Window,
    new_york_midnight,
    next_url,
    page_of,
    read_window,
    results_of,
    spoiled,
)
from ingest.simulator.answers import Answer, Params
from ingest.simulator.limits import CallMeter
from ingest.simulator.plans import MassivePlan
from ingest.simulator.provider import Asked
from ingest.simulator.view import View

PREFIX = "/v2/"
JSON_TYPE = "application/json"
PRICING = "Please upgrade your plan at https://massive.com/pricing"
NOT_ENTITLED = f"You are not entitled to this data. {PRICING}"
BEFORE_END_OF_DAY = f"Attempted to request today's data before end of day. {PRICING}"
NOT_THIS_TIMEFRAME = f"Your plan doesn't include this data timeframe. {PRICING}"
TOO_MANY = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription "
    "to continue."
)


class Massive:
    """Massive's paths over the view's market, for `keys` of one plan."""

    def __init__(self, plan: MassivePlan, keys: frozenset[str]) -> None:
        self.plan = plan
        self._calls = {key: CallMeter({"minute": plan.per_minute}) for key in keys}

    def take_key(self, params: Params, headers: Params) -> str | None:
        """Return the key: a parameter, or else a bearer's token."""
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        return params.pop("apiKey", None) or bearer or None

    def refusal(self, asked: Asked, key: str | None, view: View) -> Answer | None:
        """Return what is forbidden, or can't be understood."""
        if key not in self._calls:
            return _failed(401, view, "ERROR", error="Unknown API Key")
        if "too_many_requests" in view.drawn or self._calls[key].take(view.now):
            return _failed(429, view, "ERROR", error=TOO_MANY)
        if "payment_required" in view.drawn:
            return _failed(403, view, "NOT_AUTHORIZED", message=NOT_ENTITLED)
        if PATH.fullmatch(asked.path) is None:
            return _failed(404, view, "NOT_FOUND", message="Resource not found.")
        try:
            window = read_window(asked)
        except ValueError as problem:
            return _failed(400, view, "ERROR", error=str(problem))
        return self._out_of_plan(window, view)

    def error_inside_200(self) -> Answer:
        """Return a limit's words with status 200."""
        return Answer(200, _text({"status": "ERROR", "error": TOO_MANY}), JSON_TYPE)

    def answer(self, asked: Asked, view: View) -> Answer:
        """Answer with the envelope of one page."""
        window = read_window(asked)
        if "wrong_dates" in view.drawn:
            window = replace(window, start=window.start - timedelta(days=10))
        view = replace(view, now=view.now - (self.plan.delay or timedelta(0)))
        page = page_of(view, window)
        bars = page[: window.limit]
        results = results_of(spoiled(bars, view, window))
        body: dict[str, Any] = {
            "ticker": window.ticker,
            "queryCount": len(results),
            "resultsCount": len(results),
            "adjusted": window.is_adjusted,
            **({"results": results} if results else {}),
            "status": self._status(window, view),
            "request_id": _request_id(view),
            **({"count": len(results)} if results else {}),
        }
        if len(page) > len(bars):
            body["next_url"] = next_url(window, asked, bars[-1]["bar_at"])
        return Answer(200, _text(body), JSON_TYPE)

    def count_bytes(self, key: str | None, view: View, byte_count: int) -> None:
        """Count nothing: bytes are free."""

    def _out_of_plan(self, window: Window, view: View) -> Answer | None:
        message = None
        if self.plan.delay is None and window.end > new_york_midnight(view.today):
            message = BEFORE_END_OF_DAY
        elif self.plan.history and window.start < view.now - self.plan.history:
            message = NOT_THIS_TIMEFRAME
        return _failed(403, view, "NOT_AUTHORIZED", message=message) if message else None

    def _status(self, window: Window, view: View) -> str:
        is_late = self.plan.delay != timedelta(0) and window.end > new_york_midnight(view.today)
        return "DELAYED" if is_late else "OK"


def _failed(status: int, view: View, kind: str, **words: str) -> Answer:
    body = {"status": kind, "request_id": _request_id(view), **words}
    return Answer(status, _text(body), JSON_TYPE)


def _request_id(view: View) -> str:
    return hashlib.md5(str(view.request_number).encode(), usedforsecurity=False).hexdigest()


def _text(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
