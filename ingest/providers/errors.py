"""What can go wrong between a provider and us: one type per way out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import uuid4


@dataclass
class FetchRecord:
    """One request as raw.fetch_log keeps it. A request may take several calls (`attempts`).

    For bars of one session both dates are the session's. `params` is JSON and never has the key.
    """

    endpoint: str
    requested_at: datetime
    symbol: str | None = None
    from_date: date | None = None
    to_date: date | None = None
    params: str = "{}"
    status: int | None = None
    outcome: str = "error"
    row_count: int = 0
    byte_count: int = 0
    seconds: float = 0.0
    attempts: int = 0
    request_id: str = field(default_factory=lambda: uuid4().hex)


class ProviderError(RuntimeError):
    """A request that failed for good. `request` is its line for the ledger."""

    request: FetchRecord | None = None

    stops_the_job = False
    """Whether the next request would fail the same way."""

    retries = False
    """Whether the same request may pass in a moment."""

    retry_after: float | None = None
    """Seconds, by the market's clock, that the provider asked to wait."""


class WrongKeyError(ProviderError):
    """The key is missing, wrong or suspended."""

    stops_the_job = True


class LimitReachedError(ProviderError):
    """The provider says that the plan's calls, or its bytes, are used up."""

    stops_the_job = True


class ThrottledError(ProviderError):
    """The provider wants a pause between two calls of this endpoint; others are not concerned."""

    retries = True


class NotInPlanError(ProviderError):
    """The endpoint is not part of the plan."""

    stops_the_job = True


class SymbolNotInPlanError(ProviderError):
    """The endpoint is part of the plan, this symbol or parameter of it is not."""


class BadAnswerError(ProviderError):
    """An answer that is not what was asked for: garbage, a web page, a refusal of the request."""


class UnreachableError(ProviderError):
    """No answer: no connection, a cut one, a timeout, or an outage (5xx)."""

    retries = True
