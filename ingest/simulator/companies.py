"""The companies and funds of the generated market: who there is, and how each one trades."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from ingest.simulator.market import Profile, SymbolChange
from ingest.simulator.sessions import sessions

KINDS = (
    *("runner", "big", "small", "etf", "micro", "runner", "small", "big", "mover", "adr"),
    *("runner", "small", "big", "etf", "thin", "runner", "small", "big", "fund", "passing"),
)
"""What the symbols are, in turn: every twenty symbols hold the same mix. `runner` is what the
scanner looks for; `passing` symbols are listed, renamed and delisted as time goes by."""

LIFE_SESSIONS = 500
"""Sessions between two events in the life of a `passing` symbol."""

SECTORS = (
    ("Healthcare", "Biotechnology"),
    ("Technology", "Software - Application"),
    ("Energy", "Oil & Gas Exploration & Production"),
    ("Industrials", "Electrical Equipment & Parts"),
    ("Consumer Cyclical", "Auto Manufacturers"),
    ("Financial Services", "Capital Markets"),
    ("Basic Materials", "Gold"),
    ("Communication Services", "Internet Content & Information"),
)

_FIRST = "Amber Boreal Cobalt Delta Ember Fathom Granite Harbor Indigo Juniper Kestrel Lumen"
_SECOND = "Ridge Genomics Robotics Minerals Mobility Therapeutics Networks Energy Foods Labs"
_ENDINGS = ("Inc.", "Corporation", "Holdings, Inc.", "Group Ltd.", "Technologies, Inc.")


@dataclass(frozen=True)
class Style:
    """Ranges from which a kind's traits are drawn; price, value and turnover logarithmically."""

    price: tuple[float, float]
    market_cap: tuple[float, float]
    turnover: tuple[float, float]
    """Dollars traded in a usual session."""
    sigma: tuple[float, float]
    """Daily volatility, a fraction."""
    spread: tuple[float, float]
    """Bid-ask spread, a fraction of the price."""
    habit: tuple[float, float] = (0.0, 0.0)
    """Share of sessions in which it runs."""


STYLES = {
    "runner": Style(
        (1.9, 9.0), (4e7, 7e8), (1.2e7, 9e7), (0.064, 0.09), (0.003, 0.007), (0.1, 0.2)
    ),
    "small": Style((2, 14), (5e7, 1.2e9), (1e6, 1.5e7), (0.015, 0.026), (0.002, 0.006)),
    "micro": Style((0.08, 3), (2e6, 1.2e7), (3e4, 8e5), (0.04, 0.07), (0.008, 0.02)),
    "mover": Style((22, 60), (4e8, 6e9), (1e7, 9e7), (0.045, 0.065), (0.001, 0.003)),
    "big": Style((40, 480), (5e9, 2.5e12), (8e7, 4e9), (0.01, 0.02), (0.0002, 0.0008)),
    "etf": Style((9, 420), (4e7, 4e10), (2e6, 2e9), (0.006, 0.03), (0.0003, 0.002)),
    "fund": Style((6, 40), (4e7, 3e9), (2e5, 4e6), (0.005, 0.012), (0.001, 0.004)),
    "adr": Style((1, 30), (6e7, 8e9), (1e6, 3e7), (0.018, 0.045), (0.002, 0.006)),
    "thin": Style((1, 12), (2.1e7, 2e8), (5e3, 6e4), (0.03, 0.06), (0.015, 0.04)),
    "passing": Style((1.5, 12), (4e7, 9e8), (1e6, 1e7), (0.035, 0.06), (0.003, 0.009)),
}


@dataclass(frozen=True)
class Company:
    """One line of the generated market, under one symbol after the other."""

    slot: int
    kind: str
    price: float
    """Level around which it trades, dollars."""
    shares: float
    volume: float
    """Shares traded in a usual session."""
    sigma: float
    spread: float
    habit: float
    split: tuple[int, int] | None
    """Numerator and denominator of its recurring split; None: it never splits."""


def make_company(seed: int, slot: int) -> Company:
    """Return the company in `slot` of the market with `seed`."""
    kind = KINDS[slot % len(KINDS)]
    style = STYLES[kind]
    rng = np.random.default_rng([seed, 1, slot])

    def between(bounds: tuple[float, float]) -> float:
        return bounds[0] + (bounds[1] - bounds[0]) * float(rng.random())

    def log_between(bounds: tuple[float, float]) -> float:
        return float(np.exp(between((np.log(bounds[0]), np.log(bounds[1])))))

    price = log_between(style.price)
    if kind == "runner" and rng.random() < 0.12:
        price = log_between((0.45, 0.7))
    shares = log_between(style.market_cap) / price
    volume = log_between(style.turnover) / price
    sigma, spread, habit = between(style.sigma), between(style.spread), between(style.habit)
    return Company(slot, kind, price, shares, volume, sigma, spread, habit, _split(kind, slot))


def _split(kind: str, slot: int) -> tuple[int, int] | None:
    block = slot // len(KINDS)
    if kind == "runner" and (slot + block) % 7 == 3:
        return (1, 5)
    if kind == "micro" and block % 3 == 1:
        return (1, 10)
    return (2, 1) if kind == "big" and (slot + block) % 11 == 2 else None


def make_profiles(seed: int, company: Company) -> tuple[list[Profile], list[SymbolChange]]:
    """Return the company's profiles, one per symbol it has, oldest first, and its changes."""
    if company.kind != "passing":
        return [_profile(seed, company, 0)], []
    phase = (company.slot * 137 + seed * 61) % LIFE_SESSIONS
    edges = [0, *range(phase or 1, len(sessions()), LIFE_SESSIONS)]
    dates = [sessions()[edge].session_date for edge in edges]
    is_renamed = (company.slot // len(KINDS)) % 3 == 2
    profiles = []
    for era, (start, end) in enumerate(zip(dates, [*dates[1:], None], strict=True)):
        if is_renamed:
            life = {"ipo_date": dates[0], "known_from": start, "renamed_on": end}
        else:
            life = {"ipo_date": start, "delisted_date": end}
        profiles.append(_profile(seed, company, era, **life))
    if not is_renamed:
        return profiles, []
    pairs = zip(profiles, profiles[1:], dates[1:], strict=False)
    return profiles, [
        SymbolChange(day, new.company_name, old.symbol, new.symbol) for old, new, day in pairs
    ]


def _profile(
    seed: int,
    company: Company,
    era: int,
    *,
    ipo_date: date | None = None,
    known_from: date | None = None,
    delisted_date: date | None = None,
    renamed_on: date | None = None,
) -> Profile:
    rng = np.random.default_rng([seed, 2, company.slot, era])
    kind = company.kind
    is_pooled = kind in ("etf", "fund")
    sector, industry = SECTORS[int(rng.integers(len(SECTORS)))]
    is_test_issue = kind == "thin" and (company.slot // len(KINDS)) % 5 == 0
    exchange = ("NASDAQ", "NASDAQ", "NYSE", "AMEX")[int(rng.integers(4))]
    return Profile(
        symbol=symbol_name(seed, company, era),
        company_name=_name(rng, kind, is_test_issue),
        exchange="AMEX" if kind == "etf" else exchange,
        sector="Financial Services" if is_pooled else sector,
        industry="Asset Management" if is_pooled else industry,
        country=("CN", "IL", "BR", "GB")[company.slot // 20 % 4] if kind == "adr" else "US",
        is_etf=kind == "etf",
        is_fund=kind == "fund",
        is_adr=kind == "adr",
        is_test_issue=is_test_issue,
        beta=round(float(rng.uniform(0.3, 2.4)), 3),
        spread=company.spread,
        ipo_date=ipo_date or sessions()[0].session_date,
        delisted_date=delisted_date,
        known_from=known_from or ipo_date or sessions()[0].session_date,
        renamed_on=renamed_on,
    )


def symbol_name(seed: int, company: Company, era: int) -> str:
    """Return a symbol of four letters that no other company or era has; class B has a hyphen."""
    number = ((company.slot * 64 + era) * 7919 + seed * 104729) % 160_000
    consonants = "BCDFGHJKLMNPQRSTVWXZ"
    letters = "".join(consonants[number // 20**place % 20] for place in range(4))
    return f"{letters}-B" if company.slot % 100 == 12 else letters


def _name(rng: np.random.Generator, kind: str, is_test_issue: bool) -> str:
    first, second = (
        words[int(rng.integers(len(words)))] for words in (_FIRST.split(), _SECOND.split())
    )
    if is_test_issue:
        return "NASDAQ TEST STOCK"
    if kind == "etf":
        return f"{first} {second} ETF"
    if kind == "fund":
        return f"{first} {second} Income Fund"
    ending = "American Depositary Shares" if kind == "adr" else _ENDINGS[int(rng.integers(5))]
    return f"{first} {second} {ending}"
