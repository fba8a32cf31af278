"""Alpha Vantage's two series of bars: keys, plans, limits. Every refusal comes with status 200."""

from __future__ import annotations

import json
from collections.abc import Callable

from ingest.simulator.answers import Answer, Params
from ingest.simulator.limits import CallMeter, Period
from ingest.simulator.plans import AlphaVantagePlan
from ingest.simulator.provider import Asked
from ingest.simulator.time_series import JSON_TYPE, daily, intraday
from ingest.simulator.view import View

PATH = "/query"

SITE = "https://www.alphavantage.co"
THANKS = "Thank you for using Alpha Vantage!"
PREMIUM = f"You may subscribe to any of the premium plans at {SITE}/premium/ to"
INVALID_KEY = (
    "the parameter apikey is invalid or missing. Please claim your free API key on "
    f"({SITE}/support/#api-key). It should take less than 20 seconds."
)
USED_UP = (
    "We have detected your API key as {key} and our standard API rate limit is {most} requests per "
    f"day. Please subscribe to any of the premium plans at {SITE}/premium/ to instantly remove all "
    "daily rate limits."
)
SPREAD_OUT = (
    f"{THANKS} Please consider spreading out your free API requests more sparingly (1 request per "
    f"second). {PREMIUM} lift the free key rate limit (25 requests per day) and instantly remove "
    "all daily rate limits."
)
PREMIUM_ENDPOINT = (
    f"{THANKS} This is a premium endpoint. {PREMIUM} instantly unlock all premium endpoints"
)
PREMIUM_FULL = (
    f"{THANKS} The outputsize=full parameter value is a premium feature for the "
    f"TIME_SERIES_DAILY endpoint. {PREMIUM} instantly unlock all premium features"
)
OLD_NOTE = (
    f"{THANKS} Our standard API call frequency is 5 calls per minute and 500 calls per day. Please "
    f"visit {SITE}/premium/ if you would like to target a higher API call frequency."
)
INVALID_CALL = (
    f"Invalid API call. Please retry or visit the documentation ({SITE}/documentation/) for "
    "{function}."
)
UNKNOWN_FUNCTION = "This API function ({function}) does not exist."


class AlphaVantage:
    """Alpha Vantage's series over the view's market, for `keys` of one plan."""

    def __init__(self, plan: AlphaVantagePlan, keys: frozenset[str]) -> None:
        self.plan = plan
        limits: dict[Period, int | None] = {"day": plan.per_day, "second": plan.per_second}
        self._calls = {key: CallMeter(limits) for key in keys}
        self._series: dict[str, Callable[[View, Params], Answer | None]] = {
            "TIME_SERIES_INTRADAY": intraday,
            "TIME_SERIES_DAILY": daily,
        }

    def take_key(self, params: Params, headers: Params) -> str | None:
        """Return the key, which is a parameter."""
        return params.pop("apikey", None)

    def refusal(self, asked: Asked, key: str | None, view: View) -> Answer | None:
        """Return what is forbidden. The words of a used-up day repeat the key."""
        if key not in self._calls:
            return _told("Error Message", INVALID_KEY)
        used_up = "second" if "too_many_requests" in view.drawn else self._calls[key].take(view.now)
        if used_up == "day":
            return _told("Information", USED_UP.format(key=key, most=self.plan.per_day))
        if used_up is not None:
            return _told("Information", SPREAD_OUT)
        if "payment_required" in view.drawn:
            return _told("Information", PREMIUM_ENDPOINT)
        is_full = asked.params.get("outputsize") == "full"
        if is_full and not self.plan.has_full_daily and _function(asked) == "TIME_SERIES_DAILY":
            return _told("Information", PREMIUM_FULL)
        return None

    def error_inside_200(self) -> Answer:
        """Return a limit's words as they were some years ago."""
        return _told("Note", OLD_NOTE)

    def answer(self, asked: Asked, view: View) -> Answer:
        """Answer with the series of one symbol, newest first."""
        function = _function(asked)
        if function not in self._series:
            return _told("Error Message", UNKNOWN_FUNCTION.format(function=function))
        symbol = asked.params.get("symbol", "")
        answer = self._series[function](view, asked.params) if view.profile(symbol) else None
        return answer or _told("Error Message", INVALID_CALL.format(function=function))

    def count_bytes(self, key: str | None, view: View, byte_count: int) -> None:
        """Count nothing: bytes are free."""


def _function(asked: Asked) -> str:
    return asked.params.get("function", "")


def _told(kind: str, words: str) -> Answer:
    return Answer(200, json.dumps({kind: words}, indent=4).encode(), JSON_TYPE)
