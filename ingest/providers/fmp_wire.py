"""How FMP is spoken to, and what its refusals mean.

The words are FMP's, as recorded; some come with a status of 200.
"""

from __future__ import annotations

from ingest.providers.errors import (
    LimitReachedError,
    NotInPlanError,
    SymbolNotInPlanError,
    ThrottledError,
    WrongKeyError,
)
from ingest.providers.refusals import OUTAGES, Refusal
from ingest.providers.transport import Wire

BULK_PAUSE = 30.0
"""Seconds between two bulk files. FMP does not say how long; clients get on with two a minute."""
CHECK_KEY = "Check FMP_API_KEY in .env"

FMP = Wire(
    provider="FMP",
    setting="FMP",
    key_header="apikey",
    refusals=(
        Refusal(
            WrongKeyError,
            f"FMP refuses the key: {{said}} {CHECK_KEY}",
            range(401, 402),
            ("Invalid API KEY", "Account suspended"),
        ),
        Refusal(
            LimitReachedError,
            "the plan's 30-day bandwidth is used up: {said}",
            words=("Bandwidth Lim",),
        ),
        Refusal(
            ThrottledError,
            "{where}: FMP wants a longer pause between bulk files: {said}",
            words=("This is a bulk endpoint",),
            retries=True,
            pause=BULK_PAUSE,
        ),
        Refusal(
            LimitReachedError,
            "FMP's call limit is reached: {said}",
            range(429, 430),
            ("Limit Reach",),
            retries=True,
        ),
        Refusal(
            SymbolNotInPlanError,
            "{where}: not in your FMP plan: {said}",
            words=("Premium Query Parameter",),
        ),
        Refusal(
            NotInPlanError,
            "{where}: not in your FMP plan: {said}",
            range(402, 403),
            ("Restricted Endpoint", "Exclusive Endpoint", "Legacy Endpoint"),
        ),
        Refusal(WrongKeyError, f"FMP refuses the request: {{said}} {CHECK_KEY}", range(403, 404)),
        *OUTAGES,
    ),
)
