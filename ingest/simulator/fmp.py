"""FMP without its sockets: key, limits and plan are checked, then the path answers."""

from __future__ import annotations

from ingest.simulator.answers import (
    BANDWIDTH_REACH,
    BULK_REACH,
    INVALID_KEY,
    LIMIT_REACH,
    RESTRICTED,
    RESTRICTED_SYMBOL,
    Answer,
    MissingParameterError,
    Params,
    error,
    missing,
    text,
)
from ingest.simulator.endpoints import BULK_PATHS, make_endpoints
from ingest.simulator.limits import ByteMeter, CallMeter, Period
from ingest.simulator.market import Market
from ingest.simulator.plans import Plan
from ingest.simulator.provider import Asked
from ingest.simulator.sessions import sessions
from ingest.simulator.view import View

PREFIX = "/stable/"


class Fmp:
    """FMP's `stable` paths over `market`, for `keys` of one plan."""

    def __init__(self, market: Market, plan: Plan, keys: frozenset[str]) -> None:
        self.plan = plan
        self._market = market
        self._endpoints = make_endpoints(market)
        limits: dict[Period, int | None] = {"minute": plan.per_minute, "day": plan.per_day}
        self._calls = {key: CallMeter(limits) for key in keys}
        self._bytes = {key: ByteMeter(plan.bandwidth) for key in keys}
        self._free_symbols: frozenset[str] | None = None

    def take_key(self, params: Params, headers: Params) -> str | None:
        """Return the key: a parameter, or else a header."""
        return params.pop("apikey", None) or headers.get("apikey")

    def refusal(self, asked: Asked, key: str | None, view: View) -> Answer | None:
        """Return what is forbidden, in the order in which FMP checks it."""
        endpoint = asked.path.removeprefix(PREFIX)
        refusal = None
        if key not in self._calls:
            refusal = error(401, INVALID_KEY)
        elif endpoint not in self._endpoints:
            refusal = Answer(404, b"[]")
        elif "too_many_requests" in view.drawn or self._calls[key].take(view.now):
            refusal = error(429, LIMIT_REACH)
        elif not self._bytes[key].has_bandwidth(view.now):
            refusal = error(429, BANDWIDTH_REACH)
        elif "payment_required" in view.drawn or endpoint not in self.plan.endpoints:
            refusal = text(402, RESTRICTED)
        elif not self._is_in_plan(asked.params, view):
            refusal = text(402, RESTRICTED_SYMBOL)
        elif endpoint in BULK_PATHS and not self._bytes[key].take_bulk(endpoint, view.now):
            refusal = error(200, BULK_REACH)
        return refusal

    def error_inside_200(self) -> Answer:
        """Return a limit's words with status 200, as some users were answered."""
        return error(200, LIMIT_REACH)

    def answer(self, asked: Asked, view: View) -> Answer:
        """Answer by the path's handler."""
        try:
            return self._endpoints[asked.path.removeprefix(PREFIX)](view, asked.params)
        except MissingParameterError as problem:
            return missing(str(problem))

    def count_bytes(self, key: str | None, view: View, byte_count: int) -> None:
        """Count bytes against the key's bandwidth."""
        if key in self._bytes:
            self._bytes[key].count_bytes(view.now, byte_count)

    def _is_in_plan(self, params: Params, view: View) -> bool:
        if self.plan.symbol_count is None:
            return True
        if self._free_symbols is None:
            self._free_symbols = self._largest(self.plan.symbol_count, view)
        wanted = params.get("symbol", "").split(",")
        return all(symbol in self._free_symbols or not view.profile(symbol) for symbol in wanted)

    def _largest(self, count: int, view: View) -> frozenset[str]:
        """Return the symbols of the largest companies, which the free plan has."""
        day = sessions()[view.closed_index()].session_date
        caps = {}
        for symbol in self._market.symbols():
            bars = self._market.daily(symbol, day, day)
            price = float(bars["close"][-1]) if len(bars) else 0.0
            caps[symbol] = self._market.market_cap(symbol, day, price) or 0.0
        return frozenset(sorted(caps, key=lambda symbol: -caps[symbol])[:count])
