"""Plans: which paths a key may ask, how often, how many bytes a month, and how fresh the data is.

The vendor's pages and users disagree about some paths, so the table is data: pass another Plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_FREE = frozenset(
    {
        "profile",
        "quote",
        "quote-short",
        "aftermarket-quote",
        "aftermarket-trade",
        "historical-price-eod/full",
        "historical-price-eod/light",
        "historical-price-eod/non-split-adjusted",
        "historical-price-eod/dividend-adjusted",
        "splits",
        "splits-calendar",
        "exchange-market-hours",
        "all-exchange-market-hours",
        "holidays-by-exchange",
    }
)
_STARTER = _FREE | {
    "company-screener",
    "actively-trading-list",
    "stock-list",
    "symbol-change",
    "delisted-companies",
}
_PREMIUM = _STARTER | {
    "batch-quote",
    "batch-quote-short",
    "batch-aftermarket-quote",
    "batch-aftermarket-trade",
    "historical-chart/1min",
}
_ULTIMATE = _PREMIUM | {"batch-exchange-quote", "eod-bulk", "profile-bulk"}

GIGABYTE = 1_000_000_000


@dataclass(frozen=True)
class Plan:
    """What one subscription allows. None: without limit."""

    name: str
    endpoints: frozenset[str]
    per_minute: int | None
    per_day: int | None
    bandwidth: int
    """Bytes of answers in 30 days."""
    symbol_count: int | None = None
    """How many symbols (those of the largest companies) may be asked."""


PLANS = {
    "free": Plan("free", _FREE, None, 250, GIGABYTE // 2, symbol_count=43),
    "starter": Plan("starter", _STARTER, 300, None, 20 * GIGABYTE),
    "premium": Plan("premium", _PREMIUM, 750, None, 50 * GIGABYTE),
    "ultimate": Plan("ultimate", _ULTIMATE, 3000, None, 150 * GIGABYTE),
}


def find_plan(name: str) -> Plan:
    """Return the plan called `name`; ValueError where there is none."""
    if name not in PLANS:
        raise ValueError(f"plan is {name!r}: expected one of {', '.join(PLANS)}")
    return PLANS[name]


@dataclass(frozen=True)
class MassivePlan:
    """What a subscription of Massive allows. None: without limit."""

    name: str
    per_minute: int | None = None
    history: timedelta | None = None
    """How far back its data goes."""
    delay: timedelta | None = timedelta(0)
    """How old a bar must be; None: a day is given from the next day on."""


MASSIVE_PLANS = {
    "basic": MassivePlan("basic", 5, timedelta(days=730), None),
    "starter": MassivePlan("starter", None, timedelta(days=1826), timedelta(minutes=15)),
    "advanced": MassivePlan("advanced"),
}


def find_massive_plan(name: str) -> MassivePlan:
    """Return Massive's plan called `name`; ValueError where there is none."""
    if name not in MASSIVE_PLANS:
        raise ValueError(f"Massive's plan is {name!r}: expected one of {', '.join(MASSIVE_PLANS)}")
    return MASSIVE_PLANS[name]


@dataclass(frozen=True)
class AlphaVantagePlan:
    """What a subscription of Alpha Vantage allows. None: without limit."""

    name: str
    per_day: int | None = None
    per_second: int | None = None
    has_full_daily: bool = True
    """Whether daily bars older than the newest 100 may be asked."""


ALPHA_VANTAGE_PLANS = {
    "free": AlphaVantagePlan("free", 25, 1, has_full_daily=False),
    "premium": AlphaVantagePlan("premium"),
}


def find_alpha_vantage_plan(name: str) -> AlphaVantagePlan:
    """Return Alpha Vantage's plan called `name`; ValueError where there is none."""
    if name not in ALPHA_VANTAGE_PLANS:
        known = ", ".join(ALPHA_VANTAGE_PLANS)
        raise ValueError(f"Alpha Vantage's plan is {name!r}: expected one of {known}")
    return ALPHA_VANTAGE_PLANS[name]
