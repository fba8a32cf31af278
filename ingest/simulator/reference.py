"""Who there is: profiles, lists, the screener, and what happens to symbols."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ingest.simulator.answers import (
    Answer,
    Params,
    day_of,
    number_of,
    page_of,
    required,
    rows,
)
from ingest.simulator.market import EXCHANGE_NAMES, Profile, Split
from ingest.simulator.quotes import Quote, quote_of
from ingest.simulator.view import View
from ingest.simulator.wire import number

SCREENER_ROWS = 1000
CALENDAR_DAYS = 90


def profile_row(view: View, quote: Quote) -> dict[str, Any]:
    """Return the 36 fields of a profile, in the wire's order."""
    profile = quote.profile
    low, high = quote.year_range
    site = profile.symbol.lower()
    return {
        "symbol": profile.symbol,
        "price": quote.price,
        "marketCap": quote.market_cap,
        "beta": profile.beta,
        "lastDividend": 0,
        "range": f"{number(low)}-{number(high)}",
        "change": quote.change,
        "changePercentage": quote.change_percent,
        "volume": quote.volume,
        "averageVolume": round(quote.average("volume", 50)),
        "companyName": profile.company_name,
        "currency": "USD",
        "cik": None,
        "isin": None,
        "cusip": None,
        "exchangeFullName": EXCHANGE_NAMES.get(profile.exchange, profile.exchange),
        "exchange": profile.exchange,
        "industry": profile.industry,
        "website": f"https://www.{site}.example",
        "description": f"{profile.company_name} exists in a simulated market only.",
        "ceo": None,
        "sector": profile.sector,
        "country": profile.country,
        "fullTimeEmployees": None if profile.is_etf or profile.is_fund else "120",
        "phone": None,
        "address": None,
        "city": None,
        "state": None,
        "zip": None,
        "image": f"https://images.financialmodelingprep.com/symbol/{profile.symbol}.png",
        "ipoDate": profile.ipo_date.isoformat() if profile.ipo_date else None,
        "defaultImage": True,
        "isEtf": profile.is_etf,
        "isActivelyTrading": view.is_trading(profile),
        "isAdr": profile.is_adr,
        "isFund": profile.is_fund,
    }


def profile(view: View, params: Params) -> Answer:
    """Answer `profile`: one symbol; a comma list is no symbol."""
    quote = quote_of(view, required(params, "symbol"))
    return rows([profile_row(view, quote)] if quote else [])


def stock_list(view: View, params: Params) -> Answer:
    """Answer `stock-list`: every symbol known, delisted ones too."""
    found = view.profiles()
    return rows([{"symbol": p.symbol, "companyName": p.company_name} for p in found])


def actively_trading_list(view: View, params: Params) -> Answer:
    """Answer `actively-trading-list`."""
    found = [p for p in view.profiles() if view.is_trading(p)]
    return rows([{"symbol": p.symbol, "name": p.company_name} for p in found])


def screener_row(view: View, quote: Quote) -> dict[str, Any]:
    """Return the 16 fields of a screener row, in the wire's order."""
    profile = quote.profile
    return {
        "symbol": profile.symbol,
        "companyName": profile.company_name,
        "marketCap": quote.market_cap,
        "sector": profile.sector,
        "industry": profile.industry,
        "beta": profile.beta,
        "price": quote.price,
        "lastAnnualDividend": 0,
        "volume": quote.volume,
        "avgVolume": round(quote.average("volume", 50)),
        "exchange": EXCHANGE_NAMES.get(profile.exchange, profile.exchange),
        "exchangeShortName": profile.exchange,
        "country": profile.country,
        "isEtf": profile.is_etf,
        "isFund": profile.is_fund,
        "isActivelyTrading": view.is_trading(profile),
    }


_BOUNDS = {
    "marketCap": "marketCap",
    "beta": "beta",
    "price": "price",
    "dividend": "lastAnnualDividend",
    "volume": "volume",
    "avgVolume": "avgVolume",
}
_WORDS = {
    "sector": "sector",
    "industry": "industry",
    "country": "country",
    "exchange": "exchangeShortName",
}
_SWITCHES = ("isEtf", "isFund", "isActivelyTrading")


def company_screener(view: View, params: Params) -> Answer:
    """Answer `company-screener`: bounds inclusive, largest market cap first."""
    quotes = (quote_of(view, p.symbol) for p in view.profiles() if _may_pass(view, p, params))
    found = [screener_row(view, quote) for quote in quotes if quote is not None]
    passing = [row for row in found if _passes(row, params)]
    passing.sort(key=lambda row: (-(row["marketCap"] or 0), row["symbol"]))
    return rows(page_of(params, passing, 10_000 if "limit" in params else SCREENER_ROWS))


def _may_pass(view: View, profile: Profile, params: Params) -> bool:
    """Return whether what is cheap to know lets the symbol pass: a quote costs a session's bars."""
    row = {
        "sector": profile.sector,
        "industry": profile.industry,
        "country": profile.country,
        "exchangeShortName": profile.exchange,
        "isEtf": profile.is_etf,
        "isFund": profile.is_fund,
        "isActivelyTrading": view.is_trading(profile),
    }
    return _has_words(row, params) and _has_switches(row, params)


def _has_words(row: dict[str, Any], params: Params) -> bool:
    return all(row[key] == params[name] for name, key in _WORDS.items() if params.get(name))


def _has_switches(row: dict[str, Any], params: Params) -> bool:
    asked = {name: params[name].lower() for name in _SWITCHES if params.get(name)}
    return all(row[name] == (value == "true") for name, value in asked.items())


def _passes(row: dict[str, Any], params: Params) -> bool:
    for name, key in _BOUNDS.items():
        low, high = number_of(params, f"{name}MoreThan"), number_of(params, f"{name}LowerThan")
        value = row[key]
        if (low is not None or high is not None) and value is None:
            return False
        if (low is not None and value < low) or (high is not None and value > high):
            return False
    return True


def _split_row(split: Split) -> dict[str, Any]:
    return {
        "symbol": split.symbol,
        "date": split.split_date.isoformat(),
        "numerator": split.numerator,
        "denominator": split.denominator,
        "splitType": "stock-split",
    }


def splits(view: View, params: Params) -> Answer:
    """Answer `splits` of one symbol, newest first."""
    found = view.known_splits(required(params, "symbol"))[::-1]
    return rows([_split_row(split) for split in page_of({**params, "page": ""}, found, 1000)])


def splits_calendar(view: View, params: Params) -> Answer:
    """Answer `splits-calendar`: newest first, at most the 90 days up to `to`; one page only."""
    end = day_of(params, "to") or view.today
    earliest = end - timedelta(days=CALENDAR_DAYS)
    start = max(day_of(params, "from") or earliest, earliest)
    found = [s for s in view.known_splits() if start <= s.split_date <= end]
    if number_of(params, "page"):
        found = []
    return rows([_split_row(split) for split in reversed(found)])


def symbol_change(view: View, params: Params) -> Answer:
    """Answer `symbol-change`: newest first, 100 unless `limit` says more; `page` is ignored."""
    if params.get("invalid", "").lower() == "true":
        return rows([])
    changes = [c for c in view.market.symbol_changes() if c.change_date <= view.today]
    limit = number_of(params, "limit")
    return rows(
        [
            {
                "date": change.change_date.isoformat(),
                "companyName": change.company_name,
                "oldSymbol": change.old_symbol,
                "newSymbol": change.new_symbol,
            }
            for change in changes[::-1][: 100 if limit is None else int(limit)]
        ]
    )


def delisted_companies(view: View, params: Params) -> Answer:
    """Answer `delisted-companies`: newest first, announced ones too, 100 a page at most."""
    newest_first: Callable[[Profile], Any] = lambda p: (p.delisted_date, p.symbol)  # noqa: E731
    found = sorted(view.announced_delistings(), key=newest_first, reverse=True)
    return rows(
        [
            {
                "symbol": p.symbol,
                "companyName": p.company_name,
                "exchange": p.exchange,
                "ipoDate": p.ipo_date.isoformat() if p.ipo_date else None,
                "delistedDate": p.delisted_date.isoformat() if p.delisted_date else None,
            }
            for p in page_of(params, found, 100)
        ]
    )
