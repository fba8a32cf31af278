"""How FMP is spoken to, and what its refusals mean.

The words are FMP's, as recorded; some come with a status of 200.
"""

from __future__ import annotations

from ingest.providers.errors import (
    LimitReachedError,
    NotInPlanError,
    SymbolNotInPlanError,
    WrongKeyError,
)
from ingest.providers.refusals import OUTAGES, Refusal
from ingest.providers.transport import Wire

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
