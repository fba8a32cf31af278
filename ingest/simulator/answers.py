"""What a path answers: parameters in, status and body out, with FMP's words for what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ingest.simulator.view import View
from ingest.simulator.wire import to_csv, to_json

JSON_TYPE = "application/json; charset=utf-8"
CSV_TYPE = "text/csv; charset=utf-8"

SITE = "https://site.financialmodelingprep.com"
INVALID_KEY = (
    "Invalid API KEY. Feel free to create a Free API Key or visit "
    f"{SITE}/faqs?search=why-is-my-api-key-invalid for more information."
)
_DETAILS = f"Please upgrade your plan or visit our documentation for more details at {SITE}/"
LIMIT_REACH = f"Limit Reach . {_DETAILS}"
BANDWIDTH_REACH = f"Bandwidth {LIMIT_REACH}"
BULK_REACH = (
    "Limit Reach. This is a bulk endpoint that provides a significant amount of data and is "
    "refreshed every few hours: frequent abuse on this API Endpoint may result in restrictions "
    "placed on this API Key"
)
RESTRICTED = (
    "Restricted Endpoint: This endpoint is not available under your current subscription please "
    "visit our subscription page to upgrade your plan at https://financialmodelingprep.com/"
)
RESTRICTED_SYMBOL = (
    "Premium Query Parameter: 'Special Endpoint : This value set for 'symbol' is not available "
    "under your current subscription please visit our subscription page to upgrade your plan at "
    "https://financialmodelingprep.com/"
)
INVALID_EXCHANGE = "Invalid Exchange Provided."


@dataclass(frozen=True)
class Answer:
    """One answer, before transport."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE


Params = dict[str, str]
Handler = Callable[[View, Params], Answer]


class MissingParameterError(Exception):
    """A required parameter is missing or empty; the text is its name."""


def rows(found: Sequence[Any]) -> Answer:
    """Answer with a JSON array."""
    return Answer(200, to_json(list(found)))


def csv(keys: Sequence[str], found: Iterable[Sequence[Any]]) -> Answer:
    """Answer with a bulk file."""
    return Answer(200, to_csv(keys, found), CSV_TYPE)


def error(status: int, message: str) -> Answer:
    """Answer with FMP's error object."""
    return Answer(status, to_json({"Error Message": message}))


def text(status: int, message: str) -> Answer:
    """Answer with plain words, which FMP labels JSON all the same."""
    return Answer(status, message.encode())


def required(params: Params, name: str) -> str:
    """Return a parameter that must be there; MissingParameterError else."""
    value = params.get(name, "")
    if not value:
        raise MissingParameterError(name)
    return value


def missing(name: str) -> Answer:
    """Answer that a required parameter is missing."""
    return text(400, f"Query Error: Invalid or missing query parameter - {name}")


def day_of(params: Params, name: str) -> date | None:
    """Return a date parameter; what is no date of a stock market is dropped, as FMP does."""
    try:
        day = date.fromisoformat(params.get(name, ""))
    except ValueError:
        return None
    return day if 1900 <= day.year <= 2100 else None


def number_of(params: Params, name: str) -> float | None:
    """Return a number parameter; what is no number is dropped."""
    try:
        value = float(params.get(name, ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def is_true(params: Params, name: str) -> bool:
    """Return whether a switch is on."""
    return params.get(name, "").lower() == "true"


def page_of(params: Params, found: Sequence[Any], most: int) -> Sequence[Any]:
    """Return the page asked for by `page` (from 0) and `limit`, which `most` caps silently."""
    limit = number_of(params, "limit")
    size = most if limit is None or limit < 0 else min(int(limit), most)
    page = max(int(number_of(params, "page") or 0), 0)
    return found[page * size : (page + 1) * size]
